//! Reading the log back at start.
//!
//! Every segment but the last must be whole: its last record is named by the header of the next. In the last one the records
//! end where nothing readable follows. What stands behind that point decides: a record of a batch that can only have been
//! written after the unreadable one was acknowledged means damage; anything else is a torn write and is cut.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    Identity, Options, WalError,
    index::{Index, Location},
    record::{HEADER, Header, Place, Record, aligned},
    segment::{SEGMENT_HEADER, SUFFIX, Segment, SegmentHeader, path_of},
};
use crate::world::Disk;

/// Where the writer goes on.
pub(super) struct Tail {
    pub(super) sequence: u64,
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The number of the last batch.
    pub(super) batch: u64,
    pub(super) crc: u32,
    /// For each segment, the highest index of an entry in it.
    pub(super) highest: BTreeMap<u64, Option<u64>>,
}

/// A log read back.
pub(super) struct Recovered {
    pub(super) index: Index,
    /// `None` when the log is new.
    pub(super) tail: Option<Tail>,
}

pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    identity: Identity,
    options: Options,
) -> Result<Recovered, WalError> {
    disk.create_folder(dir).map_err(|source| WalError::io(dir, source))?;
    let sequences = sequences(disk, dir)?;
    let mut index = Index::new(options.cache_bytes);
    let mut tail: Option<Tail> = None;
    for (at, sequence) in sequences.iter().enumerate() {
        let read = Content::open(disk, dir, *sequence, identity)?;
        if let Some(tail) = &tail {
            follows(tail, *sequence, &read)?;
        }
        let before = tail.take();
        let is_last = at + 1 == sequences.len();
        tail = Some(read.replay(*sequence, is_last, before, &mut index)?);
    }
    let begins_late = sequences.first().is_some_and(|first| *first != 1) && index.purged.is_none();
    if let (Some(tail), Some(first)) = (&tail, index.first())
        && (begins_late || index.purged.is_some_and(|purged| purged.index + 1 != first))
    {
        let what = format!("entries are missing between {:?} and {first}", index.purged);
        return Err(WalError::corrupt(&tail.segment.path, 0, what));
    }
    // The same for names.
    disk.flush_folder(dir).map_err(|source| WalError::io(dir, source))?;
    Ok(Recovered { index, tail })
}

/// The segments in order; leftovers of an interrupted preparation are removed.
fn sequences(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, WalError> {
    let mut sequences = Vec::new();
    for path in disk.list(dir).map_err(|source| WalError::io(dir, source))? {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        match (path.extension().and_then(|suffix| suffix.to_str()), stem) {
            (Some(SUFFIX), Some(stem)) => match u64::from_str_radix(stem, 16) {
                Ok(sequence) => sequences.push(sequence),
                Err(_) => return Err(WalError::corrupt(&path, 0, "not the name of a segment")),
            },
            (Some("spare"), _) => disk.remove(&path).map_err(|source| WalError::io(&path, source))?,
            _ => {}
        }
    }
    sequences.sort_unstable();
    Ok(sequences)
}

fn follows(tail: &Tail, sequence: u64, next: &Content) -> Result<(), WalError> {
    let path = &next.segment.path;
    if sequence != tail.sequence + 1 {
        return Err(WalError::corrupt(path, 0, format!("the segment before it, {:016x}, is missing", sequence - 1)));
    }
    if next.header.previous != tail.crc || next.header.batch != tail.batch + 1 {
        return Err(WalError::corrupt(&tail.segment.path, tail.offset, "records are missing at its end"));
    }
    Ok(())
}

/// A segment in memory.
struct Content {
    segment: Arc<Segment>,
    header: SegmentHeader,
    bytes: Bytes,
}

impl Content {
    fn open(disk: &dyn Disk, dir: &Path, sequence: u64, identity: Identity) -> Result<Self, WalError> {
        let path = path_of(dir, sequence);
        let io = |source| WalError::io(&path, source);
        let file = disk.open(&path).map_err(io)?;
        let mut bytes = vec![0; usize::try_from(file.length().map_err(io)?).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0).map_err(io)?;
        let header = SegmentHeader::decode(&bytes, &path, identity)?;
        if header.sequence != sequence {
            return Err(WalError::corrupt(&path, 32, "its name and its header disagree"));
        }
        let segment = Arc::new(Segment { path, file, salt: header.salt });
        Ok(Self { segment, header, bytes: Bytes::from(bytes) })
    }

    fn replay(self, sequence: u64, is_last: bool, before: Option<Tail>, index: &mut Index) -> Result<Tail, WalError> {
        let path = &self.segment.path;
        let mut at = SEGMENT_HEADER;
        let (mut batch, mut crc, mut complete) = (self.header.batch.wrapping_sub(1), self.header.previous, true);
        let (mut highest, mut last_batch) = (None::<u64>, at);
        index.add_segment(sequence, self.segment.clone());
        while let Some((header, payload)) = self.record(at) {
            if header.previous != crc {
                break;
            }
            let Some(record) = Record::decode(header.kind, &payload) else {
                return Err(WalError::corrupt(path, at as u64, "a record of unknown shape"));
            };
            if let Record::Entry(entry) = &record {
                highest = highest.max(Some(entry.index));
            }
            let length = u32::try_from(header.stride()).unwrap_or(u32::MAX);
            self.apply(record, Location { segment: sequence, offset: at as u64, length }, index)?;
            if header.batch != batch {
                last_batch = at;
            }
            (batch, crc, complete) = (header.batch, header.crc, header.last);
            at += header.stride();
        }
        if is_last {
            // The record at `at` belongs to the batch under way, or to the next when the last one is complete.
            let torn = if complete { batch + 1 } else { batch };
            self.check_nothing_acknowledged_after(at, torn)?;
            self.make_durable(last_batch, at)?;
        }
        let mut all = before.map(|before| before.highest).unwrap_or_default();
        all.insert(sequence, highest);
        let length = self.bytes.len() as u64;
        Ok(Tail { sequence, segment: self.segment, offset: at as u64, length, batch, crc, highest: all })
    }

    /// The whole record at `at`.
    fn record(&self, at: usize) -> Option<(Header, Bytes)> {
        let place = Place { salt: self.header.salt, offset: at as u64 };
        let header = Header::decode(self.bytes.get(at..)?, place)?;
        let end = at + HEADER + header.length;
        let payload = (end <= self.bytes.len()).then(|| self.bytes.slice(at + HEADER..end))?;
        header.matches(&payload).then_some((header, payload))
    }

    fn apply(&self, record: Record, location: Location, index: &mut Index) -> Result<(), WalError> {
        match record {
            // A copy, so that a cached entry does not keep the whole segment in memory.
            Record::Entry(mut entry) => {
                entry.data = Bytes::copy_from_slice(&entry.data);
                index
                    .replay(entry, location)
                    .map_err(|what| WalError::corrupt(&self.segment.path, location.offset, what))?;
            }
            Record::Vote(vote) => index.vote = Some(vote),
            Record::Committed(position) => index.committed = Some(position),
            Record::Truncate(last) => index.truncate_after(last),
            Record::Purge(upto) => index.purge(upto),
        }
        Ok(())
    }

    fn check_nothing_acknowledged_after(&self, end: usize, torn: u64) -> Result<(), WalError> {
        let mut at = end;
        while at + HEADER <= self.bytes.len() {
            if let Some((header, _)) = self.record(at)
                && header.batch > torn
            {
                let what = format!("an unreadable record before the readable one at byte {at}");
                return Err(WalError::corrupt(&self.segment.path, end as u64, what));
            }
            at += aligned(1);
        }
        Ok(())
    }

    /// Nothing of a torn write may ever be read as part of a later one. And what was read may stand in the page cache
    /// alone, when the process before this one died between write and flush: it counts from now on, so it has to be durable.
    /// The last batch is written again before: after a flush that failed the kernel takes it for written, and would not
    /// write it with the next one. The batches before it are durable: no batch is written before that.
    fn make_durable(&self, last_batch: usize, end: usize) -> Result<(), WalError> {
        let io = |source| WalError::io(&self.segment.path, source);
        let rest = &self.bytes[end.min(self.bytes.len())..];
        if !rest.iter().all(|byte| *byte == 0) {
            tracing::warn!(path = %self.segment.path.display(), offset = end, "cutting a torn write off the log");
            self.segment.file.write_at(&vec![0; rest.len()], end as u64).map_err(io)?;
        }
        self.segment.file.write_at(&self.bytes[last_batch..end], last_batch as u64).map_err(io)?;
        self.segment.file.flush().map_err(io)
    }
}
