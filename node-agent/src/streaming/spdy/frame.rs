//! SPDY/3.1 frames as bytes, without any I/O.
//!
//! Control frames are short and read as a whole; the payload of a data frame is as long as its sender likes, and so it is
//! never collected: a [`Header`] says how much follows. Window updates are read and mean nothing here: the peers of this
//! protocol send none and heed none, so waiting for one would be waiting for ever.

use bytes::{BufMut, Bytes, BytesMut};

/// Length of the header of every frame.
pub(crate) const HEADER: usize = 8;
/// No control frame is longer: header blocks of these protocols have a few hundred bytes.
pub(crate) const CONTROL_MAX: usize = 16 * 1024;

/// The sender sends nothing more on the stream.
pub(crate) const FIN: u8 = 1;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// Why a stream is ended at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reset {
    /// The frame makes no sense.
    Protocol = 1,
    /// The stream is not wanted.
    Refused = 3,
}

/// The first eight bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// `length` bytes of the stream follow.
    Data { stream: u32, fin: bool, length: usize },
    /// A control frame's body follows.
    Control { kind: u16, flags: u8, length: usize },
}

/// A control frame that means something to a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control<'a> {
    /// The client opens a stream; its headers are compressed.
    SynStream { stream: u32, fin: bool, block: &'a [u8] },
    /// The same for a reply or further headers: they pass through the compression's memory and mean nothing else.
    Headers { block: &'a [u8] },
    /// The stream ends at once.
    Reset { stream: u32 },
    /// To be sent back.
    Ping { id: u32 },
    /// The client opens no further streams.
    GoAway,
    /// Settings, window updates, and what may come yet.
    Other,
}

/// The bytes are no SPDY/3 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Another version of the protocol.
    #[error("not a frame of SPDY/3")]
    Version,
    /// A control frame is too short, or beyond [`CONTROL_MAX`].
    #[error("a control frame of {0} bytes")]
    Length(usize),
    /// The stream number is zero.
    #[error("a frame of stream 0")]
    Stream,
}

/// Reads a frame's header.
pub(crate) fn header(bytes: [u8; HEADER]) -> Result<Header, Malformed> {
    let [a, b, c, d, flags, l2, l1, l0] = bytes;
    let length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
    if a & 0x80 == 0 {
        let stream = u32::from_be_bytes([a, b, c, d]);
        return if stream == 0 {
            Err(Malformed::Stream)
        } else {
            Ok(Header::Data { stream, fin: flags & FIN != 0, length })
        };
    }
    if u16::from_be_bytes([a & 0x7f, b]) != VERSION {
        return Err(Malformed::Version);
    }
    if length > CONTROL_MAX {
        return Err(Malformed::Length(length));
    }
    Ok(Header::Control { kind: u16::from_be_bytes([c, d]), flags, length })
}

/// Reads a control frame's body.
pub(crate) fn control(kind: u16, flags: u8, body: &[u8]) -> Result<Control<'_>, Malformed> {
    let word = |at: usize| {
        let bytes =
            body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed::Length(body.len()))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let number = || match word(0)? & 0x7fff_ffff {
        0 => Err(Malformed::Stream),
        stream => Ok(stream),
    };
    let rest = |at: usize| body.get(at..).ok_or(Malformed::Length(body.len()));
    Ok(match kind {
        SYN_STREAM => Control::SynStream { stream: number()?, fin: flags & FIN != 0, block: rest(10)? },
        SYN_REPLY | HEADERS => Control::Headers { block: rest(4)? },
        RST_STREAM => Control::Reset { stream: number()? },
        PING => Control::Ping { id: word(0)? },
        GOAWAY => Control::GoAway,
        _ => Control::Other,
    })
}

/// The accepting answer to a new stream, with its compressed headers.
pub(crate) fn syn_reply(stream: u32, block: &[u8]) -> Bytes {
    let mut frame = begin_control(SYN_REPLY, 4 + block.len());
    frame.put_u32(stream);
    frame.put_slice(block);
    frame.freeze()
}

/// The end of a stream at once.
pub(crate) fn reset(stream: u32, why: Reset) -> Bytes {
    let mut frame = begin_control(RST_STREAM, 8);
    frame.put_u32(stream);
    frame.put_u32(why as u32);
    frame.freeze()
}

/// The answer to a ping.
pub(crate) fn ping(id: u32) -> Bytes {
    let mut frame = begin_control(PING, 4);
    frame.put_u32(id);
    frame.freeze()
}

/// No stream after `last` was or will be served.
pub(crate) fn go_away(last: u32) -> Bytes {
    let mut frame = begin_control(GOAWAY, 8);
    frame.put_u32(last);
    frame.put_u32(0);
    frame.freeze()
}

/// Bytes of a stream; at most what 24 bits can count.
pub(crate) fn data(stream: u32, fin: bool, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + bytes.len());
    frame.put_u32(stream);
    frame.put_u8(if fin { FIN } else { 0 });
    put_length(&mut frame, bytes.len());
    frame.put_slice(bytes);
    frame.freeze()
}

fn begin_control(kind: u16, length: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(HEADER + length);
    frame.put_u16(0x8000 | VERSION);
    frame.put_u16(kind);
    frame.put_u8(0);
    put_length(&mut frame, length);
    frame
}

fn put_length(frame: &mut BytesMut, length: usize) {
    debug_assert!(length < 1 << 24, "frames are made from buffers that are far smaller");
    let [.., l2, l1, l0] = length.to_be_bytes();
    frame.put_slice(&[l2, l1, l0]);
}

#[cfg(test)]
mod tests;
