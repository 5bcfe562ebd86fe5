//! The state on disk, a little behind the log.
//!
//! A checkpoint compares the present view with the one of the last checkpoint and writes the rows that differ: new records
//! first, then all else together with the applied position and the membership as one atomic batch, without which the
//! new records do not count. It costs `apply` nothing, and a key that changed
//! a hundred times in between one row. Restart reads it and replays the log from its position; so the log must be kept
//! from the position of the last checkpoint that `write` has confirmed.
//!
//! It is never the only copy: with a snapshot and the log it can be rebuilt, and a damaged one is set aside.
//!
//! ```text
//! m                                         meta (see rows.rs), crc32 before it
//! p, d revision u64 sub u32                 many small records, and which of them are gone (see packs.rs)
//! r revision u64 sub u32 chunk u16          a large record, in chunks of 6 KiB, crc32 before the first
//! l id u64, s id u64, a session u64 seq u64 a lease, a session, an answer, crc32 before each
//! ```
//! Builds before packs gave every record rows of its own, in chunks of 64 KiB. Those are read as they are.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    engine::{Changes, Engine, EngineError},
    mvcc::{
        index::{Item, Tree},
        revision::Record,
    },
    rows::{
        Collector, Damage, Meta, Owner, RECORD_FIXED, Tag, encode_answer, encode_lease, encode_record, encode_session,
    },
    state_machine::{Position, State, StateMachine, View},
    world::Disk,
};

pub use crate::engine::memory::Memory;

mod packs;

use packs::{Filling, NOTE, PACK, Packs};

const META: &[u8] = b"m";
/// The most bytes of a row. A page of sled holds up to 20 rows, and one of more than 128 KiB would leave its log for a file of its
/// own: after a crash there may be one of that name already, and then nothing can be written any more.
const ROW_BYTES_MAX: usize = 6 * 1024;
/// Bytes of new records in one batch, so that a checkpoint of much takes little memory.
const AHEAD_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The storage below failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The rows are not those that were written: set it aside and rebuild.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The folder belongs to another member or cluster.
    #[error("the data folder belongs to member {:016x} of cluster {:016x}", found.member_id, found.cluster_id)]
    Foreign {
        /// Whose it is.
        found: Owner,
    },
}

/// Keeps a checkpoint up to date.
#[derive(Debug)]
pub struct Checkpoint {
    engine: Box<dyn Engine>,
    owner: Owner,
    /// What the rows hold.
    written: Option<State>,
    packs: Packs,
}

/// Opens the checkpoint in a folder, and the state it holds: an empty one if there is none. The log is to be replayed
/// from the position of its view.
pub fn open(disk: &dyn Disk, dir: &Path, owner: Owner) -> Result<(StateMachine, Checkpoint), CheckpointError> {
    // A folder that a crash left damaged can make sled panic instead of refusing it.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open_engine(disk.rows(dir)?, owner)));
    opened.unwrap_or_else(|_| Err(EngineError("sled cannot read its own files".to_owned()).into()))
}

/// The same in memory, for simulations: clones of `rows` are the folder.
pub fn open_memory(rows: Memory, owner: Owner) -> Result<(StateMachine, Checkpoint), CheckpointError> {
    open_engine(Box::new(rows), owner)
}

fn open_engine(mut engine: Box<dyn Engine>, owner: Owner) -> Result<(StateMachine, Checkpoint), CheckpointError> {
    let (written, packs) = read(&mut *engine, owner)?;
    let machine = StateMachine::with_state(written.clone().unwrap_or_default());
    Ok((machine, Checkpoint { engine, owner, written, packs }))
}

/// Moves a damaged checkpoint's folder out of the way, and returns where it is now.
pub fn set_aside(disk: &dyn Disk, dir: &Path) -> io::Result<PathBuf> {
    let aside = dir.with_extension("damaged");
    disk.remove_folder(&aside)?;
    disk.rename(dir, &aside)?;
    Ok(aside)
}

impl Checkpoint {
    /// The position that is safely on disk: the log before it is not needed for a restart.
    pub fn position(&self) -> Option<Position> {
        self.written.as_ref().and_then(|state| state.position)
    }

    /// The same checkpoint in a folder that has another name now. `reopen` is called with its files closed.
    pub(crate) fn moved(
        self,
        reopen: impl FnOnce() -> Result<Box<dyn Engine>, EngineError>,
    ) -> Result<Self, CheckpointError> {
        let Self { engine, owner, written, packs } = self;
        drop(engine);
        Ok(Self { engine: reopen()?, owner, written, packs })
    }

    /// Bytes that the rows take on the disk.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.engine.size_on_disk()
    }

    /// Lets go of the state that the rows hold: it was replaced, and the next `write` writes everything.
    pub(crate) fn forget(&mut self) {
        self.written = None;
    }

    /// Brings the rows up to the view, and returns after they are durable. Blocks; at most one runs at a time.
    ///
    /// After a snapshot has replaced the state, everything is written anew, and a crash on the way leaves no
    /// checkpoint: the snapshot's file must be there until this returns.
    pub fn write(&mut self, view: &View) -> Result<(), CheckpointError> {
        let state = view.state();
        let empty = State::default();
        let before = match &self.written {
            Some(written) if written.lineage == state.lineage => written,
            _ => {
                self.engine.write(vec![(META.to_vec(), None)])?;
                self.engine.clear()?;
                self.engine.sync()?;
                self.packs.clear();
                &empty
            }
        };
        // New records first: without the meta that follows they do not count.
        let Differences { mut new, gone } = Differences::between(before, state);
        new.sort_unstable_by_key(|record| record.at());
        let ahead = Ahead { engine: &mut *self.engine, packs: &mut self.packs, changes: Changes::new(), bytes: 0 };
        ahead.put_all(&new)?;
        let mut changes = Changes::new();
        for record in gone.into_iter().filter(|record| !self.packs.remove(record)) {
            delete_record(&mut changes, record);
        }
        self.packs.note(&mut changes);
        other_changes(before, state, &mut changes);
        changes.push((META.to_vec(), Some(sealed(&Meta::of(state, self.owner).encode()))));
        self.engine.write(changes)?;
        self.engine.sync()?;
        self.written = Some(state.clone());
        self.packs.tidy(&mut *self.engine)
    }
}

/// Records that are written before the batch that makes them count, a few megabytes at a time.
struct Ahead<'a> {
    engine: &'a mut dyn Engine,
    packs: &'a mut Packs,
    changes: Changes,
    bytes: u64,
}

impl Ahead<'_> {
    /// Writes records, which are in the order of their revisions.
    fn put_all(mut self, records: &[&Record]) -> Result<(), EngineError> {
        let mut filling = Filling::default();
        for record in records {
            if !filling.goes_on_with(record) {
                self.packs.close(&mut filling, &mut self.changes);
            }
            if Filling::takes(record) {
                filling.push(record);
            } else {
                put_record(&mut self.changes, record);
            }
            self.bytes += record.size();
            if self.bytes >= AHEAD_BATCH_BYTES {
                self.flush()?;
            }
        }
        self.packs.close(&mut filling, &mut self.changes);
        self.flush()
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        self.bytes = 0;
        self.engine.write_loosely(std::mem::take(&mut self.changes))
    }
}

/// The records of two states that differ.
#[derive(Default)]
struct Differences<'a> {
    new: Vec<&'a Record>,
    gone: Vec<&'a Record>,
}

impl<'a> Differences<'a> {
    fn between(before: &'a State, after: &'a State) -> Self {
        let mut found = Self::default();
        let is_new = |record: &Record| record.kv.mod_revision > before.mvcc.revision;
        let is_kept =
            |record: &Record| after.mvcc.past.get((&record.kv.key, record.kv.mod_revision, record.sub)).is_some();
        before.mvcc.current.diff(&after.mvcc.current, |old, new| {
            found.gone.extend(old.map(|old| &*old.0).filter(|old| !is_kept(old)));
            found.new.extend(new.map(|new| &*new.0));
        });
        before.mvcc.past.diff(&after.mvcc.past, |old, new| match (old, new) {
            (Some(old), None) => found.gone.push(&old.0),
            // An older record has only moved here from among the live ones: it is in the rows already.
            (_, Some(new)) if is_new(&new.0) => found.new.push(&new.0),
            (_, _) => {}
        });
        found
    }
}

fn other_changes(before: &State, after: &State, changes: &mut Changes) {
    let (old, new) = (&before.sessions, &after.sessions);
    diff_rows(changes, before.leases.granted(), after.leases.granted(), Tag::Lease, encode_lease);
    diff_rows(changes, &old.sessions, &new.sessions, Tag::Session, encode_session);
    diff_rows(changes, &old.answers, &new.answers, Tag::Answer, encode_answer);
}

/// Leases, sessions and answers begin with their ids, which make the row's key.
fn diff_rows<T: Item>(
    changes: &mut Changes,
    before: &Tree<T>,
    after: &Tree<T>,
    tag: Tag,
    encode: impl Fn(&mut Vec<u8>, &T),
) {
    let row = |item: &T| {
        let mut row = Vec::new();
        encode(&mut row, item);
        let ids = if tag == Tag::Answer { 16 } else { 8 };
        let key = [&[tag.byte()], &row[..ids]].concat();
        (key, row)
    };
    before.diff(after, |old, new| match (old.map(row), new.map(row)) {
        (_, Some((key, row))) => changes.push((key, Some(sealed(&row)))),
        (Some((key, _)), None) => changes.push((key, None)),
        (None, None) => {}
    });
}

fn sealed(row: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(row.len() + 4);
    sealed.put_u32(crc32fast::hash(row));
    sealed.extend_from_slice(row);
    sealed
}

fn record_key(record: &Record, chunk: usize) -> Vec<u8> {
    let mut key = vec![Tag::Record.byte()];
    key.put_i64(record.kv.mod_revision);
    key.put_u32(record.sub);
    key.put_u16(u16::try_from(chunk).unwrap_or(u16::MAX));
    key
}

fn put_record(changes: &mut Changes, record: &Record) {
    let mut row = vec![0; 4];
    encode_record(&mut row, record);
    let crc = crc32fast::hash(&row[4..]);
    row[..4].copy_from_slice(&crc.to_be_bytes());
    if row.len() <= ROW_BYTES_MAX {
        changes.push((record_key(record, 0), Some(row)));
        return;
    }
    let chunks = row.chunks(ROW_BYTES_MAX).enumerate();
    changes.extend(chunks.map(|(n, chunk)| (record_key(record, n), Some(chunk.to_vec()))));
}

fn delete_record(changes: &mut Changes, record: &Record) {
    let len = 4 + RECORD_FIXED + record.kv.key.len() + record.kv.value.len();
    changes.extend((0..len.div_ceil(ROW_BYTES_MAX)).map(|chunk| (record_key(record, chunk), None)));
}

/// The state the rows hold, or none if they are incomplete.
fn read(engine: &mut dyn Engine, owner: Owner) -> Result<(Option<State>, Packs), CheckpointError> {
    let mut reader = Reader::default();
    let mut result = Ok(());
    engine.scan(&mut |key, value| {
        result = reader.row(key, value);
        result.is_ok()
    })?;
    result?;
    reader.end_record()?;
    let Some(meta) = reader.meta else { return Ok((None, Packs::default())) };
    if meta.owner != owner {
        return Err(CheckpointError::Foreign { found: meta.owner });
    }
    reader.packs.check()?;
    let state = reader.collector.finish(meta)?;
    // They would count with the next checkpoint, which may not hold them any more.
    engine.write(reader.ahead)?;
    Ok((Some(state), reader.packs))
}

#[derive(Default)]
struct Reader {
    /// Its key comes before those of the records.
    meta: Option<Meta>,
    collector: Collector,
    packs: Packs,
    /// The key of the record under way without its chunk number, and its chunks so far.
    key: Vec<u8>,
    record: BytesMut,
    /// Records newer than the checkpoint: a crash came before the batch that makes them count.
    ahead: Changes,
}

impl Reader {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        if key == META {
            self.meta = Some(Meta::decode(opened(Bytes::copy_from_slice(value))?)?);
            return Ok(());
        }
        let Some(&tag) = key.first() else { return Err(Damage::new("a row without a key")) };
        let row = || opened(Bytes::copy_from_slice(value));
        if tag == NOTE {
            return self.packs.read_note(key, row()?);
        }
        if tag != PACK && tag != Tag::Record.byte() {
            return self.collector.add(tag, row()?);
        }
        let revision = (&key[1..]).try_get_i64()?;
        if self.meta.as_ref().is_none_or(|meta| revision > meta.revision) {
            self.ahead.push((key.to_vec(), None));
            return Ok(());
        }
        if tag == PACK {
            let mut records = self.packs.read_pack(key, row()?)?.into_iter();
            return records.try_for_each(|record| self.collector.add(Tag::Record.byte(), record));
        }
        let owner = key.split_last_chunk::<2>().map(|(owner, _)| owner).unwrap_or_default();
        if owner != self.key {
            self.end_record()?;
            self.key = owner.to_vec();
        }
        self.record.extend_from_slice(value);
        Ok(())
    }

    fn end_record(&mut self) -> Result<(), Damage> {
        if self.record.is_empty() {
            return Ok(());
        }
        let row = opened(self.record.split().freeze())?;
        self.collector.add(Tag::Record.byte(), row)
    }
}

fn opened(mut row: Bytes) -> Result<Bytes, Damage> {
    let crc = row.try_get_u32()?;
    if crc32fast::hash(&row) == crc { Ok(row) } else { Err(Damage::new("a checksum does not match")) }
}
