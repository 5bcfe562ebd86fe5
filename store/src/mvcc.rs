//! The multi-version key space, in memory.
//!
//! Three persistent indexes share their records: `current` holds the live version of every key, `past` the superseded
//! versions and deletions since the last compaction, `log` the events of every revision since then. So reads at the
//! current revision never see old versions, reads at an old one look up one version per key, and a watch from an old
//! revision walks the log. Every change goes through `Writer`, which makes exactly one revision.
//!
//! The key space knows nothing of leases' lives, of clocks or of disks.

pub(crate) mod compaction;
mod hash;
pub(crate) mod index;
pub(crate) mod range;
pub(crate) mod revision;
pub(crate) mod txn;

use std::sync::Arc;

use bytes::Bytes;
use proto::mvccpb::KeyValue;

use crate::{
    error::Error,
    mvcc::{
        index::Tree,
        revision::{Batch, Current, Event, Past, Record},
    },
};

/// The key space at one revision. A clone is a consistent copy, made in O(1).
#[derive(Debug, Clone)]
pub(crate) struct Mvcc {
    pub(crate) current: Tree<Current>,
    pub(crate) past: Tree<Past>,
    pub(crate) log: Tree<Batch>,
    pub(crate) revision: i64,
    /// Reads and watches below it are refused.
    pub(crate) compacted: i64,
    /// The sum of the hashes of all records, so in no order.
    pub(crate) hash: u128,
    /// The sum of the sizes of all records.
    pub(crate) bytes: u64,
}

impl Default for Mvcc {
    fn default() -> Self {
        Self {
            current: Tree::default(),
            past: Tree::default(),
            log: Tree::default(),
            // As in etcd: the first write makes revision 2.
            revision: 1,
            compacted: 0,
            hash: 0,
            bytes: 0,
        }
    }
}

impl Mvcc {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.current.get(key).map(|current| &current.0)
    }

    /// The version of the key that was live at the revision.
    pub(crate) fn get_at(&self, key: &[u8], revision: i64) -> Option<&Arc<Record>> {
        match self.get(key) {
            Some(record) if record.kv.mod_revision <= revision => Some(record),
            _ => self.past_at(key, revision).filter(|record| !record.tombstone),
        }
    }

    /// The newest superseded version or deletion of the key up to the revision.
    fn past_at(&self, key: &[u8], revision: i64) -> Option<&Arc<Record>> {
        self.past.at_or_before((key, revision, u32::MAX)).map(|past| &past.0).filter(|record| record.kv.key == key)
    }

    /// The version of the key that the record replaced, while it is kept.
    fn predecessor(&self, record: &Record) -> Option<&Arc<Record>> {
        let rank = self.past.rank((&record.kv.key, record.kv.mod_revision, record.sub), false);
        let before = &self.past.iter_at(rank.checked_sub(1)?).next()?.0;
        Some(before).filter(|before| before.kv.key == record.kv.key)
    }

    /// Checks that the revision can be read, and returns it; 0 stands for the current one.
    pub(crate) fn readable(&self, revision: i64) -> Result<i64, Error> {
        match revision {
            ..=0 => Ok(self.revision),
            _ if revision > self.revision => Err(Error::FutureRevision),
            _ if revision < self.compacted => Err(Error::Compacted { compact_revision: self.compacted }),
            _ => Ok(revision),
        }
    }

    /// The first revision whose events are all there.
    pub(crate) fn history_start(&self) -> i64 {
        self.log.first().map_or(self.revision + 1, |batch| batch.revision)
    }

    fn add(&mut self, record: &Record) {
        self.hash = self.hash.wrapping_add(record.hash());
        self.bytes += record.size();
    }

    fn forget(&mut self, record: &Record) {
        self.hash = self.hash.wrapping_sub(record.hash());
        self.bytes = self.bytes.saturating_sub(record.size());
    }

    /// The record here that is equal to this one.
    pub(crate) fn find(&self, record: &Record) -> Option<&Arc<Record>> {
        let live = self.get(&record.kv.key).filter(|live| ***live == *record);
        live.or_else(|| self.past.get(record.place()).map(|past| &past.0).filter(|past| ***past == *record))
    }

    /// Puts a whole key space together from its records, in the order of their places.
    /// Events are known again from `history_start` on. What `known` has of it is shared with it.
    pub(crate) fn rebuild(
        records: Vec<Arc<Record>>,
        revision: i64,
        compacted: i64,
        history_start: i64,
        known: &Self,
    ) -> Self {
        let mut mvcc = Self { revision, compacted, ..Self::default() };
        for record in &records {
            mvcc.add(record);
        }
        let by_key = || records.chunk_by(|a, b| a.kv.key == b.kv.key);
        // The newest version is live, unless it is a deletion.
        let live = |versions: &[Arc<Record>]| usize::from(versions.last().is_some_and(|newest| !newest.tombstone));
        mvcc.current = Tree::from_sorted_sharing(
            by_key().flat_map(|all| &all[all.len() - live(all)..]).map(|record| Current(record.clone())),
            &known.current,
        );
        mvcc.past = Tree::from_sorted_sharing(
            by_key().flat_map(|all| &all[..all.len() - live(all)]).map(|record| Past(record.clone())),
            &known.past,
        );
        let mut recent = records;
        recent.retain(|record| record.kv.mod_revision >= history_start);
        recent.sort_unstable_by_key(|record| (record.kv.mod_revision, record.sub));
        let batches = recent.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision).map(|records| {
            let event = |record: &Arc<Record>| Event {
                record: Arc::clone(record),
                previous: mvcc.predecessor(record).filter(|previous| !previous.tombstone).cloned(),
            };
            let (revision, events) = (records[0].kv.mod_revision, records.iter().map(event));
            let known = known.log.get(revision).filter(|batch| batch.holds(events.clone()));
            known.cloned().unwrap_or_else(|| Batch { revision, events: events.collect() })
        });
        mvcc.log = Tree::from_sorted_sharing(batches, &known.log);
        mvcc
    }

    /// Starts a change of the key space. Nothing is a revision before `finish`.
    pub(crate) fn write(&mut self) -> Writer<'_> {
        Writer { mvcc: self, events: Vec::new() }
    }

    /// What must hold after every command.
    pub(crate) fn validate(&self) {
        debug_assert!(self.compacted <= self.revision);
        debug_assert!(self.log.first().is_none_or(|batch| batch.revision <= self.revision));
    }
}

/// One revision in the making.
pub(crate) struct Writer<'a> {
    pub(crate) mvcc: &'a mut Mvcc,
    events: Vec<Event>,
}

impl Writer<'_> {
    /// The revision a read inside this change sees: the one in the making once something has changed.
    pub(crate) fn revision(&self) -> i64 {
        self.mvcc.revision + i64::from(!self.events.is_empty())
    }

    /// Sets a key, and returns its new record. `previous` is what the key is now.
    ///
    /// Key and value are copied once, out of the buffer of the log entry they came in: otherwise one live value
    /// would keep the whole network frame it arrived in.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: Value<'_>,
        lease: i64,
        previous: Option<Arc<Record>>,
    ) -> Arc<Record> {
        let revision = self.mvcc.revision + 1;
        let (key, create_revision, version) = match &previous {
            Some(record) => (record.kv.key.clone(), record.kv.create_revision, record.kv.version + 1),
            None => (Bytes::copy_from_slice(key), revision, 1),
        };
        let value = match value {
            Value::New(value) => Bytes::copy_from_slice(value),
            Value::Same(value) => value,
        };
        let kv = KeyValue { key, create_revision, mod_revision: revision, version, value, lease };
        let record = Arc::new(Record { kv, sub: self.next_sub(), tombstone: false });
        self.mvcc.add(&record);
        if let Some(old) = self.mvcc.current.insert(Current(Arc::clone(&record))) {
            self.mvcc.past.insert(Past(old.0));
        }
        self.events.push(Event { record: Arc::clone(&record), previous });
        record
    }

    /// Deletes a key, and returns what it was.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Option<Arc<Record>> {
        let previous = self.mvcc.current.remove(key)?.0;
        let revision = self.mvcc.revision + 1;
        let kv = KeyValue { key: previous.kv.key.clone(), mod_revision: revision, ..KeyValue::default() };
        let record = Arc::new(Record { kv, sub: self.next_sub(), tombstone: true });
        self.mvcc.add(&record);
        self.mvcc.past.insert(Past(Arc::clone(&previous)));
        self.mvcc.past.insert(Past(Arc::clone(&record)));
        self.events.push(Event { record, previous: Some(Arc::clone(&previous)) });
        Some(previous)
    }

    fn next_sub(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// Makes the revision, if anything changed, and returns the current one.
    pub(crate) fn finish(self) -> i64 {
        if !self.events.is_empty() {
            self.mvcc.revision += 1;
            self.mvcc.log.insert(Batch { revision: self.mvcc.revision, events: self.events.into() });
        }
        self.mvcc.revision
    }
}

/// The value of a put: new bytes, or the bytes that are there already.
pub(crate) enum Value<'a> {
    New(&'a [u8]),
    Same(Bytes),
}
