//! One file of the log.
//!
//! ```text
//! header, 64 bytes   0 magic | 8 format u32 | 12 zero u32 | 16 cluster id u64 | 24 member id u64 | 32 sequence u64 | 40 salt u64
//!                    48 first batch u64 | 56 crc of the last record of the segment before u32 | 60 crc u32
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Identity, WalError,
    record::{Entry, HEADER, Header, Place, Record},
};
use crate::world::DiskFile;

pub(super) const SEGMENT_HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"KTKWAL\r\n";
pub(super) const FORMAT: u32 = 1;
pub(super) const SUFFIX: &str = "wal";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) previous: u32,
    pub(super) batch: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.identity.cluster_id.to_le_bytes());
        out[24..32].copy_from_slice(&self.identity.member_id.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.salt.to_le_bytes());
        out[48..56].copy_from_slice(&self.batch.to_le_bytes());
        out[56..60].copy_from_slice(&self.previous.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8], path: &Path, identity: Identity) -> Result<Self, WalError> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER>() else {
            return Err(WalError::corrupt(path, 0, "shorter than its header"));
        };
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if bytes[0..8] != MAGIC {
            return Err(WalError::corrupt(path, 0, "not a log segment"));
        }
        if half(8) > FORMAT {
            return Err(WalError::Newer { path: path.to_path_buf(), found: half(8), known: FORMAT });
        }
        if crc32fast::hash(&bytes[..60]) != half(60) {
            return Err(WalError::corrupt(path, 0, "bad segment header"));
        }
        let found = Identity { cluster_id: word(16), member_id: word(24) };
        if found != identity {
            let (found_cluster, found_member) = (found.cluster_id, found.member_id);
            return Err(WalError::Foreign { path: path.to_path_buf(), found_cluster, found_member });
        }
        Ok(Self { identity: found, sequence: word(32), salt: word(40), previous: half(56), batch: word(48) })
    }
}

pub(super) fn path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016x}.{SUFFIX}"))
}

/// A segment that entries can be read from.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) salt: u64,
}

/// Consecutive records of one segment.
pub(super) struct Run {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Run {
    /// Reads the entries and checks them again: what the disk returns now need not be what it returned at start.
    pub(super) fn read(&self, out: &mut Vec<Entry>) -> io::Result<()> {
        let mut buffer = vec![0; self.length];
        self.segment.file.read_at(&mut buffer, self.offset)?;
        let buffer = Bytes::from(buffer);
        let mut at = 0;
        while at < buffer.len() {
            let place = Place { salt: self.segment.salt, offset: self.offset + at as u64 };
            let entry = Header::decode(&buffer[at..], place).and_then(|header| {
                let end = at + HEADER + header.length;
                let payload = (end <= buffer.len()).then(|| buffer.slice(at + HEADER..end))?;
                let record = header.matches(&payload).then(|| Record::decode(header.kind, &payload))??;
                at += header.stride();
                match record {
                    Record::Entry(entry) => Some(entry),
                    _ => None,
                }
            });
            let Some(entry) = entry else {
                let problem = WalError::corrupt(&self.segment.path, place.offset, "an entry changed on the disk");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            };
            out.push(entry);
        }
        Ok(())
    }
}
