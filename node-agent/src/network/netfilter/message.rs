//! Netlink messages as bytes: a header, the header of netfilter's messages, and attributes that may hold others.

/// The kind of an answer that says whether a request was done (`NLMSG_ERROR`).
pub(super) const ERROR: u16 = 2;

const HEADER: usize = 16;
/// Family, version, resource (`struct nfgenmsg`).
const NETFILTER_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// Marks an attribute that holds attributes (`NLA_F_NESTED`), beside the one for the byte order.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// `NLM_F_REQUEST` and its companions.
pub(super) mod flags {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// A request that is being written.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of a kind, about a family of protocols. `resource` is what `struct nfgenmsg` has for it.
    pub(super) fn new(kind: u16, flags: u16, family: u8, resource: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | flags::REQUEST).to_ne_bytes());
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        Self { bytes }
    }

    /// An attribute with these bytes.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        self.within(kind, |message| message.bytes.extend(value));
    }

    /// A number, in the byte order of networks as all of netfilter's numbers are.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// A text, which ends with a zero.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.within(kind, |message| {
            message.bytes.extend(value.as_bytes());
            message.bytes.push(0);
        });
    }

    /// Attributes that are bytes already.
    pub(super) fn append(&mut self, attributes: &[u8]) {
        self.bytes.extend(attributes);
    }

    /// An attribute that holds those that `fill` writes.
    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.within(kind | NESTED, fill);
    }

    fn within(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - at).expect("lists are cut before they grow so long");
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Asks for an answer that says that it was done.
    pub(super) fn acknowledged(mut self) -> Self {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | flags::ACK;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// The whole message.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("a message is short");
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message of the kernel's.
#[derive(Debug)]
pub(crate) struct Received {
    /// What kind of message.
    pub(super) kind: u16,
    body: Vec<u8>,
}

impl Received {
    /// Why a request was refused, as a positive number; zero when it was done.
    pub(super) fn error(&self) -> i32 {
        let code = self.body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
        code.saturating_neg()
    }

    /// The attributes of a message of netfilter's.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (u16, &[u8])> {
        attributes(self.body.get(NETFILTER_HEADER..).unwrap_or_default())
    }
}

/// The messages of a datagram. What cannot be read ends it.
pub(super) fn split(datagram: &[u8]) -> Vec<Received> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Some((length, kind)) = header(rest) {
        messages.push(Received { kind, body: rest[HEADER..length].to_vec() });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    (HEADER..=bytes.len()).contains(&length).then_some((length, kind))
}

/// The attributes in a run of bytes, each with its kind and its value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let head = rest.first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & KIND;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of an attribute.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let mut message = Message::new(0x0a03, flags::CREATE, 2, 10);
        message.text(1, "table");
        message.nested(4, |message| {
            message.number(1, 7);
            message.put(2, b"abc");
        });
        let mut datagram = message.finish(5);
        assert_eq!(datagram.len() % 4, 0);
        datagram.extend(Message::new(3, flags::ACK, 0, 0).acknowledged().finish(6));
        let messages = split(&datagram);
        assert_eq!(messages.iter().map(|message| message.kind).collect::<Vec<_>>(), [0x0a03, 3]);
        let attributes: Vec<_> = messages[0].attributes().collect();
        assert_eq!(attributes[0], (1, b"table\0".as_slice()));
        assert_eq!(attributes[1].0, 4);
        assert_eq!(find(attributes[1].1, 1), Some([0, 0, 0, 7].as_slice()));
        assert_eq!(find(attributes[1].1, 2), Some(b"abc".as_slice()));
    }

    #[test]
    fn broken_bytes_end_what_is_read() {
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[255; 40]).is_empty());
        assert_eq!(attributes(&[200, 0, 1, 0, 1]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }
}
