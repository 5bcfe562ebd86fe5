//! Who waits for which keys.
//!
//! A member has a watch for every kind of object that it serves, and one write concerns one of them. So a watch is woken by
//! what it wants only, and what passed it by meanwhile it need not look at: it goes on where its first event stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Error, mvcc::range::KeyRange};

/// Nothing has happened that is of interest.
const NOTHING: i64 = i64::MAX;

/// A wait for something new, shared by the watches of one stream.
#[derive(Debug)]
pub(crate) struct Wake {
    bell: Arc<Bell>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Bell {
    /// The watches that it was rung for.
    ready: Mutex<BTreeSet<i64>>,
    rung: Notify,
}

impl Wake {
    /// Returns when something of interest was published since this last returned. A look at the state between two calls
    /// may have seen it already, but nothing published after the look is missed.
    pub(crate) async fn changed(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Stopped),
            () = self.bell.rung.notified() => Ok(()),
        }
    }

    /// The watches for which there was something since the last call.
    pub(crate) fn ready(&self) -> BTreeSet<i64> {
        std::mem::take(&mut self.bell.ready.lock())
    }

    /// The store has stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

/// What happened to one watch since it last looked.
#[derive(Debug)]
struct Mark {
    /// The first revision of interest that it has not looked at.
    first: AtomicI64,
    bell: Arc<Bell>,
    watch: i64,
}

impl Mark {
    fn set(&self, revision: i64) {
        if self.first.fetch_min(revision, Ordering::AcqRel) == NOTHING {
            self.bell.ready.lock().insert(self.watch);
            self.bell.rung.notify_one();
        }
    }
}

type Marks = BTreeMap<u64, Arc<Mark>>;

/// All watches of a member, by what they want.
#[derive(Debug)]
pub(crate) struct Interests {
    waiting: Mutex<Waiting>,
    /// Whoever wants something of this revision or an earlier one has been told.
    told: AtomicI64,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    registered: u64,
    keys: BTreeMap<Bytes, Marks>,
    /// By the length of the prefix: a key has one of each length.
    prefixes: BTreeMap<usize, BTreeMap<Bytes, Marks>>,
    others: BTreeMap<u64, (KeyRange, Arc<Mark>)>,
}

impl Interests {
    pub(crate) fn new(revision: i64) -> Self {
        Self { waiting: Mutex::default(), told: AtomicI64::new(revision), closed: CancellationToken::new() }
    }

    pub(crate) fn wake(&self) -> Wake {
        Wake { bell: Arc::default(), closed: self.closed.clone() }
    }

    /// Tells all waits that the store has stopped.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Has the wake ring, under this number, for changes of the range: from a revision on, or the next one.
    pub(crate) fn register(self: &Arc<Self>, range: KeyRange, from: Option<i64>, wake: &Wake, watch: i64) -> Interest {
        let first = AtomicI64::new(from.unwrap_or(NOTHING));
        let mark = Arc::new(Mark { first, bell: wake.bell.clone(), watch });
        if from.is_some() {
            wake.bell.ready.lock().insert(watch);
        }
        let mut waiting = self.waiting.lock();
        waiting.registered += 1;
        let id = waiting.registered;
        match (range.single(), range.as_prefix()) {
            (Some(key), _) => waiting.keys.entry(key.clone()).or_default().insert(id, mark.clone()),
            (None, Some(prefix)) => {
                let prefixes = waiting.prefixes.entry(prefix.len()).or_default();
                prefixes.entry(prefix.clone()).or_default().insert(id, mark.clone())
            }
            (None, None) => waiting.others.insert(id, (range.clone(), mark.clone())).map(|(_, mark)| mark),
        };
        Interest { interests: self.clone(), range, id, mark }
    }

    /// Tells those concerned. The changes up to `revision` have been published, and these are all of them that nobody was told of,
    /// in their order.
    pub(crate) fn tell<'a>(&self, revision: i64, changes: impl IntoIterator<Item = (i64, &'a [u8])>) {
        let waiting = self.waiting.lock();
        for (revision, key) in changes {
            waiting.tell(revision, key);
        }
        self.told.store(revision, Ordering::Release);
    }

    /// Tells everybody to look at everything from `from` on: what the changes up to `revision` were is not known.
    pub(crate) fn tell_all(&self, from: i64, revision: i64) {
        let waiting = self.waiting.lock();
        let prefixes = waiting.prefixes.values().flat_map(BTreeMap::values);
        let groups = waiting.keys.values().chain(prefixes).flat_map(BTreeMap::values);
        groups.chain(waiting.others.values().map(|(_, mark)| mark)).for_each(|mark| mark.set(from));
        self.told.store(revision, Ordering::Release);
    }
}

impl Waiting {
    fn tell(&self, revision: i64, key: &[u8]) {
        let prefixes = self.prefixes.range(..=key.len());
        let prefixes = prefixes.filter_map(|(length, prefixes)| prefixes.get(&key[..*length]));
        for mark in self.keys.get(key).into_iter().chain(prefixes).flat_map(BTreeMap::values) {
            mark.set(revision);
        }
        for (range, mark) in self.others.values() {
            if range.contains(key) {
                mark.set(revision);
            }
        }
    }

    fn forget(&mut self, range: &KeyRange, id: u64) {
        match (range.single(), range.as_prefix()) {
            (Some(key), _) => remove(&mut self.keys, key, id),
            (None, Some(prefix)) => {
                if let Some(prefixes) = self.prefixes.get_mut(&prefix.len()) {
                    remove(prefixes, prefix, id);
                    if prefixes.is_empty() {
                        self.prefixes.remove(&prefix.len());
                    }
                }
            }
            (None, None) => drop(self.others.remove(&id)),
        }
    }
}

fn remove(groups: &mut BTreeMap<Bytes, Marks>, key: &Bytes, id: u64) {
    if let Some(marks) = groups.get_mut(key) {
        marks.remove(&id);
        if marks.is_empty() {
            groups.remove(key);
        }
    }
}

/// One watch's entry; its drop takes it out.
#[derive(Debug)]
pub(crate) struct Interest {
    interests: Arc<Interests>,
    pub(crate) range: KeyRange,
    id: u64,
    mark: Arc<Mark>,
}

impl Interest {
    /// The first revision to look at: nothing between the last look and this is of interest. The look must come after.
    pub(crate) fn begin_look(&self) -> i64 {
        // In this order: whoever is not marked now was not concerned by anything up to here.
        let told = self.interests.told.load(Ordering::Acquire);
        self.mark.first.swap(NOTHING, Ordering::AcqRel).min(told + 1)
    }

    /// The look ended before all was seen: nothing may be passed over from here on.
    pub(crate) fn look_on_from(&self, revision: i64) {
        self.mark.first.fetch_min(revision, Ordering::AcqRel);
    }

    /// Like [`Self::begin_look`], but nobody looks.
    pub(crate) fn first_unseen(&self) -> i64 {
        let told = self.interests.told.load(Ordering::Acquire);
        self.mark.first.load(Ordering::Acquire).min(told + 1)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.interests.waiting.lock().forget(&self.range, self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn interests() -> Arc<Interests> {
        Arc::new(Interests::new(1))
    }

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(key.into(), end.into())
    }

    #[test]
    fn those_concerned_are_told_and_nobody_else() {
        let (interests, told) = (interests(), |wake: &Wake| wake.ready().into_iter().collect::<Vec<_>>());
        let wake = interests.wake();
        let ranges = [range("/a/1", ""), range("/a/", "/a0"), range("/", "0"), range("/a/1", "/c"), range("/b", "\0")];
        let registered: Vec<_> =
            (0i64..).zip(ranges).map(|(n, range)| interests.register(range, None, &wake, n)).collect();
        let mut revision = 1;
        let mut concerned = |key: &str| {
            revision += 1;
            interests.tell(revision, [(revision, key.as_bytes())]);
            registered.iter().for_each(|interest| {
                assert_eq!(interest.begin_look(), {
                    let concerned = interest.range.contains(key.as_bytes());
                    if concerned { revision } else { revision + 1 }
                })
            });
            told(&wake)
        };
        assert_eq!(concerned("/a/1"), [0, 1, 2, 3]);
        assert_eq!(concerned("/a/0"), [1, 2]);
        assert_eq!(concerned("/bee"), [2, 3, 4]);
        assert_eq!(concerned("/"), [2]);
        assert_eq!(concerned("zebra"), [4]);
        assert!(concerned("!").is_empty());
        drop(registered);
        let waiting = interests.waiting.lock();
        assert!(waiting.keys.is_empty() && waiting.prefixes.is_empty() && waiting.others.is_empty());
    }

    #[test]
    fn a_watch_goes_on_at_its_first_event_and_passes_over_what_is_not_its_own() {
        let interests = interests();
        let wake = interests.wake();
        let interest = interests.register(range("a", ""), None, &wake, 7);
        interests.tell(5, [(3, &b"b"[..]), (4, b"a"), (5, b"a")]);
        assert_eq!((interest.first_unseen(), interest.begin_look()), (4, 4));
        interests.tell(9, [(9, &b"b"[..])]);
        assert_eq!((interest.first_unseen(), interest.begin_look()), (10, 10));
        // It could not see everything in one look.
        interests.tell(12, [(11, &b"a"[..])]);
        assert_eq!(interest.begin_look(), 11);
        interest.look_on_from(12);
        interests.tell(20, [(20, &b"b"[..])]);
        assert_eq!(interest.begin_look(), 12);
        // The history was replaced.
        interests.tell_all(0, 90);
        assert_eq!((interest.first_unseen(), interest.begin_look()), (0, 0));
    }

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let interests = interests();
        let wake = interests.wake();
        let _interest = interests.register(range("a", ""), None, &wake, 7);
        assert!(wake.changed().now_or_never().is_none());
        interests.tell(2, [(2, &b"a"[..])]);
        assert_eq!(wake.changed().now_or_never(), Some(Ok(())));
        assert!(wake.changed().now_or_never().is_none());
        interests.close();
        assert_eq!(wake.changed().now_or_never(), Some(Err(Error::Stopped)));
    }
}
