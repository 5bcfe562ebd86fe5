//! Small records in packs: a row costs the engine below far more than the bytes of a record do.
//!
//! New records go into packs in the order of their revisions. So the packs of one checkpoint stand behind those of the one
//! before, and a record's revision tells its pack. A record that goes is noted in a row beside the pack. Once all of a pack are gone
//! its row is deleted; once most of them are, it is written anew without those.
//!
//! ```text
//! p revision u64 sub u32    the pack that began with this record: for each record length u32 and row, crc32 before all
//! d revision u64 sub u32    which of its records are gone: revision u64 and sub u32 of each, crc32 before all
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use bytes::{Buf, BufMut, Bytes};

use super::{CheckpointError, ROW_BYTES_MAX, opened, sealed};
use crate::{
    engine::{Changes, Engine, EngineError},
    mvcc::revision::Record,
    rows::{Damage, RECORD_FIXED, RecordAt, encode_record, record_at},
};

/// The tags of both rows. Notes are read before packs, since rows are read in the order of their keys.
pub(super) const NOTE: u8 = b'd';
pub(super) const PACK: u8 = b'p';
const CRC_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;
/// A larger record has rows of its own.
const RECORD_BYTES_MAX: usize = ROW_BYTES_MAX / 2;

/// Which packs there are, and which of their records are gone.
#[derive(Debug, Default)]
pub(super) struct Packs {
    /// By the first record that each was made with.
    packs: BTreeMap<RecordAt, Pack>,
    /// Those that lost records since the last notes.
    touched: BTreeSet<RecordAt>,
    /// Those of whose records most are gone.
    sparse: BTreeSet<RecordAt>,
}

#[derive(Debug)]
struct Pack {
    last: RecordAt,
    /// How many the row holds, with those that are gone.
    records: usize,
    gone: Vec<RecordAt>,
    /// Whether it has a note.
    noted: bool,
}

impl Pack {
    fn is_sparse(&self) -> bool {
        self.gone.len() * 2 > self.records
    }
}

/// A pack on its way.
#[derive(Debug, Default)]
pub(super) struct Filling {
    row: Vec<u8>,
    first: RecordAt,
    last: RecordAt,
    records: usize,
}

impl Filling {
    /// Whether a record goes into packs.
    pub(super) fn takes(record: &Record) -> bool {
        record_len(record) <= RECORD_BYTES_MAX
    }

    /// Whether this pack goes on with the record. One with rows of its own ends it: its revision must not lie within a pack.
    pub(super) fn goes_on_with(&self, record: &Record) -> bool {
        Self::takes(record) && CRC_BYTES + self.row.len() + LENGTH_BYTES + record_len(record) <= ROW_BYTES_MAX
    }

    /// Takes a record, which is later than all before it.
    pub(super) fn push(&mut self, record: &Record) {
        self.last = record.at();
        if self.records == 0 {
            self.first = self.last;
        }
        self.records += 1;
        let at = self.row.len();
        self.row.put_u32(0);
        encode_record(&mut self.row, record);
        let length = u32::try_from(self.row.len() - at - 4).unwrap_or(u32::MAX);
        self.row[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

impl Packs {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Closes a pack, if there is anything in it.
    pub(super) fn close(&mut self, filling: &mut Filling, changes: &mut Changes) {
        let Filling { row, first, last, records } = mem::take(filling);
        if records > 0 {
            changes.push((key(PACK, first), Some(sealed(&row))));
            self.packs.insert(first, Pack { last, records, gone: Vec::new(), noted: false });
        }
    }

    /// Marks a record as gone; false if it has rows of its own.
    pub(super) fn remove(&mut self, record: &Record) -> bool {
        let at = record.at();
        let Some((first, pack)) = self.packs.range_mut(..=at).next_back().filter(|(_, pack)| at <= pack.last) else {
            return false;
        };
        pack.gone.push(at);
        self.touched.insert(*first);
        true
    }

    /// Notes what is gone since the last time.
    pub(super) fn note(&mut self, changes: &mut Changes) {
        for first in mem::take(&mut self.touched) {
            let Some(pack) = self.packs.get_mut(&first) else { continue };
            if pack.gone.len() < pack.records {
                changes.push((key(NOTE, first), Some(sealed(&encode_note(&pack.gone)))));
                pack.noted = true;
                if pack.is_sparse() {
                    self.sparse.insert(first);
                }
                continue;
            }
            changes.push((key(PACK, first), None));
            if pack.noted {
                changes.push((key(NOTE, first), None));
            }
            self.packs.remove(&first);
            self.sparse.remove(&first);
        }
    }

    /// Writes the packs anew of whose records most are gone. What the rows say stays the same, at every step.
    pub(super) fn tidy(&mut self, engine: &mut dyn Engine) -> Result<(), CheckpointError> {
        for first in mem::take(&mut self.sparse) {
            let Some(pack) = self.packs.get_mut(&first) else { continue };
            let row = engine.get(&key(PACK, first))?.ok_or_else(|| EngineError::new("a pack of records is missing"))?;
            let gone: BTreeSet<RecordAt> = pack.gone.drain(..).collect();
            let mut kept = Vec::new();
            pack.records = 0;
            for record in records(opened(Bytes::from(row))?) {
                let (at, record) = record?;
                if !gone.contains(&at) {
                    pack.records += 1;
                    kept.put_u32(u32::try_from(record.len()).unwrap_or(u32::MAX));
                    kept.put_slice(&record);
                }
            }
            pack.noted = false;
            engine.write(vec![(key(PACK, first), Some(sealed(&kept))), (key(NOTE, first), None)])?;
        }
        Ok(())
    }

    /// Takes in a note that was read.
    pub(super) fn read_note(&mut self, key: &[u8], row: Bytes) -> Result<(), Damage> {
        let (first, gone) = (first_of(key)?, decode_note(row)?);
        self.packs.insert(first, Pack { last: first, records: 0, gone, noted: true });
        Ok(())
    }

    /// Takes in a pack that was read, and gives the rows of the records that are still there.
    pub(super) fn read_pack(&mut self, key: &[u8], row: Bytes) -> Result<Vec<Bytes>, Damage> {
        let first = first_of(key)?;
        let nothing_gone = Pack { last: first, records: 0, gone: Vec::new(), noted: false };
        let pack = self.packs.entry(first).or_insert(nothing_gone);
        let gone: BTreeSet<RecordAt> = pack.gone.iter().copied().collect();
        let mut kept = Vec::new();
        for record in records(row) {
            let (at, record) = record?;
            pack.last = pack.last.max(at);
            pack.records += 1;
            if !gone.contains(&at) {
                kept.push(record);
            }
        }
        if pack.is_sparse() {
            self.sparse.insert(first);
        }
        Ok(kept)
    }

    /// Fails if there is a note without its pack.
    pub(super) fn check(&self) -> Result<(), Damage> {
        match self.packs.values().any(|pack| pack.records == 0) {
            true => Err(Damage::new("a pack of records is missing")),
            false => Ok(()),
        }
    }
}

fn record_len(record: &Record) -> usize {
    RECORD_FIXED + record.kv.key.len() + record.kv.value.len()
}

/// The records of a pack, and where each stands.
fn records(mut pack: Bytes) -> impl Iterator<Item = Result<(RecordAt, Bytes), Damage>> {
    std::iter::from_fn(move || {
        pack.has_remaining().then(|| {
            let length = pack.try_get_u32()? as usize;
            if length > pack.len() {
                pack.clear();
                return Err(Damage::new("a pack of records ends early"));
            }
            let record = pack.split_to(length);
            Ok((record_at(&record)?, record))
        })
    })
}

fn key(tag: u8, (revision, sub): RecordAt) -> Vec<u8> {
    let mut key = Vec::with_capacity(13);
    key.put_u8(tag);
    key.put_i64(revision);
    key.put_u32(sub);
    key
}

/// The record that a pack began with, from the key of its row.
fn first_of(key: &[u8]) -> Result<RecordAt, Damage> {
    let mut rest = key.get(1..).unwrap_or_default();
    Ok((rest.try_get_i64()?, rest.try_get_u32()?))
}

fn encode_note(gone: &[RecordAt]) -> Vec<u8> {
    let mut row = Vec::with_capacity(gone.len() * 12);
    for (revision, sub) in gone {
        row.put_i64(*revision);
        row.put_u32(*sub);
    }
    row
}

fn decode_note(mut row: Bytes) -> Result<Vec<RecordAt>, Damage> {
    let mut gone = Vec::with_capacity(row.len() / 12);
    while row.has_remaining() {
        gone.push((row.try_get_i64()?, row.try_get_u32()?));
    }
    Ok(gone)
}
