//! What one revision did: records, the events that brought them, and the batch they arrived in.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;
use proto::mvccpb::{self, KeyValue, event::EventType};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::{mvcc::index::Item, rows::RecordAt};

/// One version of one key: a value, or the mark that the key was deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// The key and value as clients see them. A deletion has the key and its revision only.
    pub kv: KeyValue,
    /// The position within its revision, from 0.
    pub sub: u32,
    /// Whether this version deletes the key.
    pub tombstone: bool,
}

impl Record {
    /// Where it stands among all records: by key, then by age. The position within the revision belongs to the order: a nested
    /// transaction may put a key and delete it again.
    pub(crate) fn place(&self) -> (&[u8], i64, u32) {
        (&self.kv.key, self.kv.mod_revision, self.sub)
    }

    /// Its revision and its position within it.
    pub(crate) fn at(&self) -> RecordAt {
        (self.kv.mod_revision, self.sub)
    }

    /// What the record costs, for quotas: bytes of key and value and a flat share for the indexes.
    pub(crate) fn size(&self) -> u64 {
        (self.kv.key.len() + self.kv.value.len()) as u64 + 128
    }

    /// The record's share of the state hash; equal records only have equal shares.
    pub(crate) fn hash(&self) -> u128 {
        let kv = &self.kv;
        let mut fields = [0; 44];
        let numbers = [kv.mod_revision, kv.create_revision, kv.version, kv.lease, i64::from(self.tombstone)];
        for (field, number) in fields.chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        fields[40..].copy_from_slice(&self.sub.to_le_bytes());
        let seed = xxh3_64_with_seed(&kv.key, xxh3_64_with_seed(&fields, 0));
        xxh3_128_with_seed(&kv.value, seed)
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the key became.
    pub record: Arc<Record>,
    /// What the key was before, unless it did not exist or that version has been compacted.
    pub previous: Option<Arc<Record>>,
}

impl Event {
    /// Whether the key was deleted.
    pub fn is_delete(&self) -> bool {
        self.record.tombstone
    }

    /// Whether the key did not exist before.
    pub fn is_create(&self) -> bool {
        self.record.kv.version == 1
    }

    /// The changed key.
    pub fn key(&self) -> &Bytes {
        &self.record.kv.key
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        self.record.kv.mod_revision
    }

    /// The event as it goes over the wire. Bytes are shared, not copied.
    pub fn to_proto(&self, with_previous: bool) -> mvccpb::Event {
        let kind = if self.is_delete() { EventType::Delete } else { EventType::Put };
        let previous = self.previous.as_ref().filter(|_| with_previous);
        mvccpb::Event {
            r#type: kind.into(),
            kv: Some(self.record.kv.clone()),
            prev_kv: previous.map(|record| record.kv.clone()),
        }
    }
}

/// Everything one revision changed.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) revision: i64,
    pub(crate) events: Arc<[Event]>,
}

impl Batch {
    /// Whether it holds just these events, of the very same records.
    pub(crate) fn holds(&self, mut events: impl Iterator<Item = Event>) -> bool {
        let same = |a: &Option<Arc<Record>>, b: &Option<Arc<Record>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let all = self.events.iter().all(|ours| {
            events
                .next()
                .is_some_and(|event| Arc::ptr_eq(&ours.record, &event.record) && same(&ours.previous, &event.previous))
        });
        all && events.next().is_none()
    }
}

impl Item for Batch {
    type Key<'a> = i64;
    type Owned = i64;

    fn key(&self) -> i64 {
        self.revision
    }
    fn owned_key(&self) -> i64 {
        self.revision
    }
    fn compare(&self, key: i64) -> Ordering {
        self.revision.cmp(&key)
    }
    fn compare_owned(owned: &i64, key: i64) -> Ordering {
        owned.cmp(&key)
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.events, &other.events)
    }
}

/// The live version of a key, ordered by key.
#[derive(Debug, Clone)]
pub(crate) struct Current(pub(crate) Arc<Record>);

impl Item for Current {
    type Key<'a> = &'a [u8];
    type Owned = Bytes;

    fn key(&self) -> &[u8] {
        &self.0.kv.key
    }
    fn owned_key(&self) -> Bytes {
        self.0.kv.key.clone()
    }
    fn compare(&self, key: &[u8]) -> Ordering {
        (*self.0.kv.key).cmp(key)
    }
    fn compare_owned(owned: &Bytes, key: &[u8]) -> Ordering {
        (**owned).cmp(key)
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A superseded version of a key, or a deletion, ordered by its place.
#[derive(Debug, Clone)]
pub(crate) struct Past(pub(crate) Arc<Record>);

impl Item for Past {
    type Key<'a> = (&'a [u8], i64, u32);
    type Owned = (Bytes, i64, u32);

    fn key(&self) -> (&[u8], i64, u32) {
        self.0.place()
    }
    fn owned_key(&self) -> (Bytes, i64, u32) {
        (self.0.kv.key.clone(), self.0.kv.mod_revision, self.0.sub)
    }
    fn compare(&self, key: (&[u8], i64, u32)) -> Ordering {
        self.key().cmp(&key)
    }
    fn compare_owned((key, revision, sub): &(Bytes, i64, u32), other: (&[u8], i64, u32)) -> Ordering {
        (&**key, *revision, *sub).cmp(&other)
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
