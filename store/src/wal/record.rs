//! One record: a header that can be told from chance, and a payload.
//!
//! ```text
//! header, 24 bytes   0 length u32 | 4 kind u8 | 5 flags u8 | 6 batch u48 | 12 crc of the record before u32
//!                    16 crc of the 16 bytes above, the segment's salt and the offset u32 | 20 crc of that crc and the payload u32
//! payload            `length` bytes, then zeros up to a multiple of 8
//! ```
//! The salt and the offset make what an earlier use of the file left behind unreadable. Batch numbers tell a torn write from
//! damage: a batch is written only after the one before it is durable.

use bytes::Bytes;
use crc32fast::Hasher;

pub(super) const HEADER: usize = 24;
const ALIGNMENT: usize = 8;
/// Far above what a request may hold; a length beyond it is no record.
const PAYLOAD_MAX: usize = 256 << 20;
const FLAG_LAST: u8 = 1;

/// Term and index of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// Whom this member voted for, and whether that one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) term: u64,
    pub(crate) node_id: u64,
    pub(crate) committed: bool,
}

/// What an entry holds. The numbers are on disk: keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    Blank = 0,
    Command = 1,
    Membership = 2,
}

impl EntryKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Blank, Self::Command, Self::Membership].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One entry of the Raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) kind: EntryKind,
    pub(crate) data: Bytes,
}

impl Entry {
    pub(crate) fn position(&self) -> Position {
        Position { term: self.term, index: self.index }
    }

    /// What it costs in memory and on disk, roughly.
    pub(crate) fn cost(&self) -> usize {
        self.data.len() + ENTRY_PREFIX + HEADER
    }
}

/// Term, index and kind before an entry's data.
pub(super) const ENTRY_PREFIX: usize = 17;

/// The kinds of records. The numbers are on disk: keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Entry = 1,
    Vote = 2,
    Committed = 3,
    Truncate = 4,
    Purge = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Entry, Self::Vote, Self::Committed, Self::Truncate, Self::Purge]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Entry(Entry),
    Vote(Vote),
    Committed(Position),
    Truncate(Option<Position>),
    Purge(Position),
}

impl Record {
    fn kind(&self) -> Kind {
        match self {
            Self::Entry(_) => Kind::Entry,
            Self::Vote(_) => Kind::Vote,
            Self::Committed(_) => Kind::Committed,
            Self::Truncate(_) => Kind::Truncate,
            Self::Purge(_) => Kind::Purge,
        }
    }

    /// Bytes the record takes in a segment.
    pub(super) fn size(&self) -> usize {
        let payload = match self {
            Self::Entry(entry) => ENTRY_PREFIX + entry.data.len(),
            Self::Vote(_) => 17,
            Self::Committed(_) | Self::Purge(_) | Self::Truncate(Some(_)) => 16,
            Self::Truncate(None) => 0,
        };
        aligned(HEADER + payload)
    }

    fn encode_payload(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entry(entry) => {
                encode_position(entry.position(), out);
                out.push(entry.kind as u8);
                out.extend_from_slice(&entry.data);
            }
            Self::Vote(vote) => {
                out.extend_from_slice(&vote.term.to_le_bytes());
                out.extend_from_slice(&vote.node_id.to_le_bytes());
                out.push(u8::from(vote.committed));
            }
            Self::Committed(position) | Self::Purge(position) | Self::Truncate(Some(position)) => {
                encode_position(*position, out);
            }
            Self::Truncate(None) => {}
        }
    }

    /// `None` when the payload does not fit the kind.
    pub(super) fn decode(kind: Kind, payload: &Bytes) -> Option<Self> {
        match kind {
            Kind::Entry => Some(Self::Entry(Entry {
                term: word(payload, 0)?,
                index: word(payload, 8)?,
                kind: EntryKind::from_byte(*payload.get(16)?)?,
                data: payload.slice(ENTRY_PREFIX..),
            })),
            Kind::Vote => Some(Self::Vote(Vote {
                term: word(payload, 0)?,
                node_id: word(payload, 8)?,
                committed: *payload.get(16)? != 0,
            })),
            Kind::Committed => Some(Self::Committed(decode_position(payload)?)),
            Kind::Truncate if payload.is_empty() => Some(Self::Truncate(None)),
            Kind::Truncate => Some(Self::Truncate(Some(decode_position(payload)?))),
            Kind::Purge => Some(Self::Purge(decode_position(payload)?)),
        }
    }
}

fn encode_position(position: Position, out: &mut Vec<u8>) {
    out.extend_from_slice(&position.term.to_le_bytes());
    out.extend_from_slice(&position.index.to_le_bytes());
}

fn decode_position(payload: &[u8]) -> Option<Position> {
    Some(Position { term: word(payload, 0)?, index: word(payload, 8)? })
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// What binds a record to its place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) salt: u64,
    pub(super) offset: u64,
}

impl Place {
    fn header_crc(self, fields: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(fields);
        hasher.finalize()
    }
}

fn payload_crc(header_crc: u32, payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(header_crc);
    hasher.update(payload);
    hasher.finalize()
}

/// Appends the encoded record to `out` and returns its crc, which the next record repeats.
pub(super) fn encode(record: &Record, place: Place, batch: u64, last: bool, previous: u32, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    record.encode_payload(out);
    let payload_end = out.len();
    let length = u32::try_from(payload_end - start - HEADER).expect("a payload is far below 4 GiB");
    let (header, payload) = out[start..].split_at_mut(HEADER);
    header[0..4].copy_from_slice(&length.to_le_bytes());
    header[4] = record.kind() as u8;
    header[5] = if last { FLAG_LAST } else { 0 };
    header[6..12].copy_from_slice(&batch.to_le_bytes()[..6]);
    header[12..16].copy_from_slice(&previous.to_le_bytes());
    let header_crc = place.header_crc(&header[..16]);
    let crc = payload_crc(header_crc, payload);
    header[16..20].copy_from_slice(&header_crc.to_le_bytes());
    header[20..24].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + aligned(payload_end - start), 0);
    crc
}

/// A header that belongs where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) kind: Kind,
    pub(super) last: bool,
    pub(super) batch: u64,
    pub(super) previous: u32,
    header_crc: u32,
    pub(super) crc: u32,
}

impl Header {
    /// `None` when no header of this segment stands at this offset.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let fields = bytes.get(..16)?;
        let header_crc = half(bytes, 16)?;
        let kind = Kind::from_byte(bytes[4])?;
        let length = usize::try_from(half(bytes, 0)?).ok()?;
        if length > PAYLOAD_MAX || place.header_crc(fields) != header_crc {
            return None;
        }
        Some(Self {
            length,
            kind,
            last: bytes[5] & FLAG_LAST != 0,
            batch: word(bytes, 4)? >> 16,
            previous: half(bytes, 12)?,
            header_crc,
            crc: half(bytes, 20)?,
        })
    }

    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.length && payload_crc(self.header_crc, payload) == self.crc
    }

    /// Bytes from this header to the next.
    pub(super) fn stride(&self) -> usize {
        aligned(HEADER + self.length)
    }
}
