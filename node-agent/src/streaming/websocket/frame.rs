//! WebSocket frames (RFC 6455) as a server reads and writes them, without any I/O.

use bytes::{BufMut, Bytes, BytesMut};

/// A control frame's payload is no longer.
pub(crate) const CONTROL_MAX: usize = 125;
/// The longest header a client sends: two bytes, a long length, the mask.
pub(crate) const HEADER_MAX: usize = 14;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn of(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn opcode(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Control frames may come between the parts of a message.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// The last frame of its message.
    pub(crate) fin: bool,
    pub(crate) length: u64,
    pub(crate) mask: [u8; 4],
}

/// The bytes are no frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(&'static str);

/// How many bytes a client's header has, by its first two.
pub(crate) fn header_length(first: [u8; 2]) -> usize {
    2 + match first[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    } + 4
}

/// Reads a header of [`header_length`] bytes.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, Malformed> {
    let [first, second, rest @ ..] = bytes else { return Err(Malformed("a frame without a header")) };
    let short = Malformed("a frame with half a header");
    let kind = Kind::of(first & 0x0f).ok_or(Malformed("a frame of no known kind"))?;
    if first & 0x70 != 0 {
        return Err(Malformed("a frame of an extension that was not agreed on"));
    }
    if second & 0x80 == 0 {
        return Err(Malformed("a client's frame that is not masked"));
    }
    let (length, mask) = match second & 0x7f {
        126 => {
            let (length, mask) = rest.split_first_chunk::<2>().ok_or(short)?;
            (u64::from(u16::from_be_bytes(*length)), mask)
        }
        127 => {
            let (length, mask) = rest.split_first_chunk::<8>().ok_or(short)?;
            (u64::from_be_bytes(*length), mask)
        }
        length => (u64::from(length), rest),
    };
    let mask = mask.try_into().map_err(|_| short)?;
    let fin = first & 0x80 != 0;
    if kind.is_control() && (!fin || length > CONTROL_MAX as u64) {
        return Err(Malformed("a control frame in parts or too long"));
    }
    Ok(Header { kind, fin, length, mask })
}

/// Takes the mask off a part of a payload that begins at `offset`.
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: u64) {
    let mut mask = mask;
    mask.rotate_left((offset % 4) as usize);
    for (byte, mask) in bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// A whole message, or a control frame, from the server: `head` and `tail` together.
pub(crate) fn frame(kind: Kind, head: &[u8], tail: &[u8]) -> Bytes {
    let length = head.len() + tail.len();
    let mut frame = BytesMut::with_capacity(10 + length);
    frame.put_u8(0x80 | kind.opcode());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => frame.put_u8(short),
        (_, Ok(medium)) => {
            frame.put_u8(126);
            frame.put_u16(medium);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(head);
    frame.put_slice(tail);
    frame.freeze()
}

/// A close frame with a code.
pub(crate) fn close(code: u16) -> Bytes {
    frame(Kind::Close, &code.to_be_bytes(), &[])
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let masked_hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let length = header_length([masked_hello[0], masked_hello[1]]);
        let head = header(&masked_hello[..length]).unwrap();
        assert_eq!((head.kind, head.fin, head.length), (Kind::Text, true, 5));
        let mut payload = masked_hello[length..].to_vec();
        unmask(&mut payload, head.mask, 0);
        assert_eq!(payload, b"Hello");
        assert_eq!(frame(Kind::Text, b"", b"Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(frame(Kind::Binary, b"", &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(frame(Kind::Binary, b"", &[0; 65536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(1000)[..], [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn a_mask_goes_on_where_the_last_part_ended() {
        let mask = [1, 2, 3, 4];
        let mut whole: Vec<u8> = (0..100).collect();
        let mut parts = whole.clone();
        unmask(&mut whole, mask, 0);
        let (a, b) = parts.split_at_mut(37);
        unmask(a, mask, 0);
        unmask(b, mask, 37);
        assert_eq!(whole, parts);
    }

    #[test]
    fn what_clients_may_not_send_is_refused() {
        for (bytes, what) in [
            (&[0x82, 0x05][..], "not masked"),
            (&[0x83, 0x80, 0, 0, 0, 0], "no known kind"),
            (&[0xc2, 0x80, 0, 0, 0, 0], "extension"),
            (&[0x09, 0x80, 0, 0, 0, 0], "control frame"),
            (&[0x89, 0xfe, 0, 200, 0, 0, 0, 0], "control frame"),
            (&[0x82, 0xfe, 0, 200], "half a header"),
        ] {
            let error = header(bytes).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut random = SmallRng::seed_from_u64(6);
        for _ in 0..200_000 {
            let bytes: [u8; HEADER_MAX] = random.random();
            let length = header_length([bytes[0], bytes[1]]);
            assert!(length <= HEADER_MAX);
            if let Ok(head) = header(&bytes[..length]) {
                assert!(!head.kind.is_control() || head.length <= CONTROL_MAX as u64);
            }
        }
    }
}
