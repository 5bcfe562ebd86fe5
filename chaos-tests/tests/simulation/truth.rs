//! What really happened: every event that any member applied, as the members themselves tell it.
//!
//! Each member is listened to inside its own process, beyond the reach of all faults. What one member has applied is committed
//! for ever, so two members that tell different stories of one revision are a violation by themselves.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Store, WatchItem, WatchRange,
    mvccpb::{Event, KeyValue, event::EventType},
};
use tokio::time::Instant;

/// One key at one revision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// A deletion has the key and its revision only.
    pub(crate) kv: KeyValue,
    pub(crate) deleted: bool,
}

#[derive(Debug, Default)]
struct State {
    revisions: BTreeMap<i64, Vec<Change>>,
    /// When each was first heard of.
    heard: BTreeMap<i64, Instant>,
    contradictions: Vec<String>,
}

/// Clones are the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth(Arc<Mutex<State>>);

impl Truth {
    /// Listens to what happens to the keys of a range in a member, until the member ends.
    pub(crate) fn listen(&self, store: &Store, member: u64, (first, end): (&'static str, &'static str)) {
        let next = self.0.lock().revisions.last_key_value().map_or(1, |(last, _)| last + 1);
        let range =
            WatchRange { key: first.into(), range_end: end.into(), start_revision: next, ..WatchRange::default() };
        let mut watch = store.watch(range);
        let truth = self.clone();
        tokio::spawn(async move {
            while let Ok(item) = watch.next().await {
                let WatchItem::Events(batch) = item else { continue };
                let change = |event: &store::Event| Change { kv: event.record.kv.clone(), deleted: event.is_delete() };
                truth.add(member, batch.events.iter().map(change));
            }
        });
    }

    fn add(&self, member: u64, changes: impl Iterator<Item = Change>) {
        let mut told: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        for change in changes {
            told.entry(change.kv.mod_revision).or_default().push(change);
        }
        let mut state = self.0.lock();
        for (revision, changes) in told {
            match state.revisions.get(&revision) {
                Some(known) if *known != changes => {
                    let what = format!("member {member} tells {changes:?} of revision {revision}, others {known:?}");
                    state.contradictions.push(what);
                }
                Some(_) => {}
                None => {
                    state.revisions.insert(revision, changes);
                    state.heard.insert(revision, Instant::now());
                }
            }
        }
    }

    /// The last revision that anybody was heard to tell of.
    pub(crate) fn last(&self) -> i64 {
        self.0.lock().revisions.last_key_value().map_or(1, |(last, _)| *last)
    }

    pub(crate) fn contradictions(&self) -> Vec<String> {
        self.0.lock().contradictions.clone()
    }

    pub(crate) fn story(&self) -> Story {
        let (revisions, heard) = {
            let state = self.0.lock();
            (state.revisions.clone(), state.heard.clone())
        };
        let mut keys: BTreeMap<Bytes, BTreeMap<i64, Change>> = BTreeMap::new();
        for (revision, changes) in &revisions {
            for change in changes {
                keys.entry(change.kv.key.clone()).or_default().insert(*revision, change.clone());
            }
        }
        Story { revisions, heard, keys }
    }
}

/// The truth, to be looked things up in.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) revisions: BTreeMap<i64, Vec<Change>>,
    /// When each was first heard of.
    pub(crate) heard: BTreeMap<i64, Instant>,
    keys: BTreeMap<Bytes, BTreeMap<i64, Change>>,
}

impl Story {
    pub(crate) fn last(&self) -> i64 {
        self.revisions.last_key_value().map_or(1, |(last, _)| *last)
    }

    /// A revision of which no member was heard to tell, though later ones were.
    pub(crate) fn gap(&self) -> Option<i64> {
        // The first revision of an empty store is 1; the first write makes 2.
        (2..self.last()).find(|revision| !self.revisions.contains_key(revision))
    }

    /// The key as it was when the store had this revision.
    pub(crate) fn at(&self, key: &Bytes, revision: i64) -> Option<&KeyValue> {
        let (_, change) = self.keys.get(key)?.range(..=revision).next_back()?;
        (!change.deleted).then_some(&change.kv)
    }

    /// All keys as they were when the store had this revision.
    pub(crate) fn all_at(&self, revision: i64) -> Vec<KeyValue> {
        self.keys.keys().filter_map(|key| self.at(key, revision).cloned()).collect()
    }
}

/// An event of the etcd API as a change.
pub(crate) fn change_of(event: &Event) -> Option<Change> {
    let kv = event.kv.clone()?;
    Some(Change { kv, deleted: event.r#type() == EventType::Delete })
}
