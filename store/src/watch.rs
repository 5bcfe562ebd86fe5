//! Watches: ordered, without gap or repetition, resumable from any revision since the last compaction.
//!
//! A watch is a cursor, not a queue. Every published state holds the events of all revisions since the last
//! compaction, so a watch reads on from its cursor whenever it is asked, and the past and the present are one source.
//! A slow watcher costs nothing but its cursor, until a compaction passes it: then it is told so and ends. Events are
//! shared by all watchers; a revision is never split. Who is not concerned by a write is not woken by it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::{RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};

use crate::{
    error::Error,
    mvcc::{
        range::KeyRange,
        revision::{Event, Record},
    },
    state_machine::{State, View},
};

mod interest;

pub(crate) use interest::Wake;
use interest::{Interest, Interests};

/// Bytes of keys and values after which a batch ends, at the next revision.
const BATCH_BYTES_MAX: u64 = 1024 * 1024;
/// Revisions looked at in one go, so that a watch from long ago does not hold up its thread.
const REVISIONS_PER_STEP_MAX: usize = 10_000;

/// What to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchRange {
    /// The key, or the first key of the range.
    pub key: Bytes,
    /// As in a range request: empty for one key, one zero byte for all keys from `key` on.
    pub range_end: Bytes,
    /// The first revision of interest; 0 stands for the next one.
    pub start_revision: i64,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
    /// Tell the revision reached when nothing else was sent for so long.
    pub progress: Option<Duration>,
}

/// Events of one revision, or of several whole ones.
#[derive(Debug, Clone)]
pub struct WatchBatch {
    /// Every event of the range up to this revision has been delivered with this batch.
    pub revision: i64,
    /// In the order they happened.
    pub events: Arc<[Event]>,
}

/// What a watch delivers.
#[derive(Debug, Clone)]
pub enum WatchItem {
    /// Something happened.
    Events(WatchBatch),
    /// Nothing more has happened up to this revision.
    Progress(i64),
}

/// What one look at the published state brought.
#[derive(Debug)]
pub enum Step {
    /// Something happened.
    Events(WatchBatch),
    /// Nothing yet, and there is more to look at.
    Behind,
    /// The watch has seen all there is.
    Idle,
}

/// Where `apply` publishes, and where readers and watchers look.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Readers hold the lock while they count one more reference; whoever may upgrade it is the one that changes the state.
    published: RwLock<Arc<State>>,
    interests: Arc<Interests>,
}

/// Held while the published state is changed in place. A panic then would leave half a change behind, for readers to see and for
/// a checkpoint to keep: the process ends before that, and reads its log again.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a change of the state was cut short; ending the process, since nobody may see half of it");
            std::process::abort();
        }
    }
}

impl Hub {
    pub(crate) fn new(state: State) -> Self {
        let interests = Arc::new(Interests::new(state.mvcc.revision));
        Self { published: RwLock::new(Arc::new(state)), interests }
    }

    /// Changes the state: readers see all of a change or nothing of it. While nobody holds the state that is there, a brief
    /// change is made in place: copying the nodes of the indexes would cost more than the change itself, and a reader that
    /// comes meanwhile waits no longer than that takes. Otherwise the change is made on a copy, and nobody waits.
    pub(crate) fn change<R>(&self, is_brief: bool, change: impl FnOnce(&mut State) -> R) -> R {
        let published = self.published.upgradable_read();
        let before = published.mvcc.revision;
        let mut replaced = None;
        let (published, result) = if is_brief && Arc::strong_count(&published) == 1 {
            let mut published = RwLockUpgradableReadGuard::upgrade(published);
            let guard = AbortOnPanic;
            // A copy after all, if a reader came in between.
            let result = change(Arc::make_mut(&mut published));
            drop(guard);
            (RwLockWriteGuard::downgrade_to_upgradable(published), result)
        } else {
            let mut next = State::clone(&published);
            let result = change(&mut next);
            let mut published = RwLockUpgradableReadGuard::upgrade(published);
            replaced = Some(std::mem::replace(&mut *published, Arc::new(next)));
            (RwLockWriteGuard::downgrade_to_upgradable(published), result)
        };
        self.tell(before, &published);
        drop(published);
        // Last, since it may have to free what nobody else holds.
        drop(replaced);
        result
    }

    /// Wakes whoever waits for what happened after a revision.
    fn tell(&self, before: i64, state: &State) {
        let mvcc = &state.mvcc;
        if mvcc.revision == before {
            return;
        }
        // A compaction among the changes may have taken some of them away again.
        if mvcc.compacted > before + 1 {
            return self.interests.tell_all(before + 1, mvcc.revision);
        }
        let batches = mvcc.log.iter_from(before + 1);
        let changes = batches.flat_map(|batch| batch.events.iter().map(|event| (batch.revision, &**event.key())));
        self.interests.tell(mvcc.revision, changes);
    }

    /// Another state, that did not come from the last one.
    pub(crate) fn replace(&self, state: State) {
        let revision = state.mvcc.revision;
        let mut published = self.published.write();
        let replaced = std::mem::replace(&mut *published, Arc::new(state));
        self.interests.tell_all(0, revision);
        drop(published);
        // Last, since freeing a whole key space takes its time.
        drop(replaced);
    }

    pub(crate) fn view(&self) -> View {
        View::new(Arc::clone(&self.published.read()))
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.interests.close();
    }

    /// A watch that waits by itself.
    pub(crate) fn watch(self: &Arc<Self>, range: WatchRange) -> WatchStream {
        let wake = Arc::new(self.wake());
        self.watch_on(range, &wake, 0)
    }

    /// A watch that has the wake ring under the number `id`.
    pub(crate) fn watch_on(self: &Arc<Self>, range: WatchRange, wake: &Arc<Wake>, id: i64) -> WatchStream {
        let from = (range.start_revision > 0).then_some(range.start_revision);
        let interest = self.interests.register(KeyRange::new(range.key, range.range_end), from, wake, id);
        // Whatever is published after this look has the wake ring.
        let seen = self.view().revision();
        WatchStream {
            interest,
            no_put: range.no_put,
            no_delete: range.no_delete,
            next: from.unwrap_or(seen + 1),
            seen,
            progress: range.progress.map(|every| Progress { every, due: None, told: 0 }),
            wake: wake.clone(),
            hub: Arc::clone(self),
        }
    }

    /// Tells when there is something new for any of the watches that are made with it.
    pub(crate) fn wake(&self) -> Wake {
        self.interests.wake()
    }
}

#[derive(Debug)]
struct Progress {
    every: Duration,
    due: Option<tokio::time::Instant>,
    told: i64,
}

/// One watch.
#[derive(Debug)]
pub struct WatchStream {
    hub: Arc<Hub>,
    wake: Arc<Wake>,
    interest: Interest,
    no_put: bool,
    no_delete: bool,
    /// The first revision not looked at.
    next: i64,
    /// The newest revision at the last look: a watch of the future has not reached its start.
    seen: i64,
    progress: Option<Progress>,
}

impl WatchStream {
    /// The next batch of events. An error is final: compacted, or the store has stopped.
    pub async fn next(&mut self) -> Result<WatchItem, Error> {
        loop {
            if self.wake.is_closed() {
                return Err(Error::Stopped);
            }
            match self.step()? {
                Step::Events(batch) => return Ok(WatchItem::Events(batch)),
                Step::Behind => tokio::task::yield_now().await,
                Step::Idle => {
                    if let Some(revision) = self.idle().await? {
                        return Ok(WatchItem::Progress(revision));
                    }
                }
            }
        }
    }

    /// Waits for something new, or for the time to tell progress.
    async fn idle(&mut self) -> Result<Option<i64>, Error> {
        let Some(progress) = &mut self.progress else {
            return self.wake.changed().await.map(|()| None);
        };
        let due = *progress.due.get_or_insert_with(|| tokio::time::Instant::now() + progress.every);
        tokio::select! {
            biased;
            changed = self.wake.changed() => return changed.map(|()| None),
            () = tokio::time::sleep_until(due) => progress.due = None,
        }
        let reached = self.reached();
        let told = self.progress.as_mut().map_or(reached, |progress| std::mem::replace(&mut progress.told, reached));
        Ok((told < reached).then_some(reached))
    }

    /// Looks once, without waiting.
    pub fn step(&mut self) -> Result<Step, Error> {
        self.next = self.next.max(self.interest.begin_look());
        let view = self.hub.view();
        self.seen = view.revision();
        if self.next < view.compacted() {
            return Err(Error::Compacted { compact_revision: view.compacted() });
        }
        let (mut found, mut bytes) = (Found::default(), 0);
        for (looked_at, batch) in view.state().mvcc.log.iter_from(self.next).enumerate() {
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
            if looked_at >= REVISIONS_PER_STEP_MAX {
                self.interest.look_on_from(self.next);
                return Ok(self.found(found).map_or(Step::Behind, Step::Events));
            }
            let wanted = batch.events.iter().filter(|event| self.wants(event));
            let count = wanted.clone().inspect(|event| bytes += event.record.size()).count();
            if count == batch.events.len() {
                found.add_whole(&batch.events);
            } else {
                found.some.extend(wanted.cloned());
            }
            self.next = batch.revision + 1;
        }
        if bytes < BATCH_BYTES_MAX {
            self.next = self.next.max(view.revision() + 1);
        } else {
            self.interest.look_on_from(self.next);
        }
        Ok(self.found(found).map_or(Step::Idle, Step::Events))
    }

    fn found(&mut self, found: Found) -> Option<WatchBatch> {
        let events = found.events()?;
        if let Some(progress) = &mut self.progress {
            progress.due = None;
            progress.told = self.next - 1;
        }
        Some(WatchBatch { revision: self.next - 1, events })
    }

    fn wants(&self, event: &Event) -> bool {
        let Record { kv, tombstone, .. } = &*event.record;
        self.interest.range.contains(&kv.key) && !(if *tombstone { self.no_delete } else { self.no_put })
    }

    /// Every event of the range up to this revision has been delivered.
    pub fn reached(&self) -> i64 {
        let unseen = self.interest.first_unseen();
        self.next.max(unseen).min(self.seen.max(unseen - 1) + 1) - 1
    }

    /// The watch as a stream that ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<WatchItem, Error>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            let item = watch.next().await;
            let rest = item.is_ok().then_some(watch);
            Some((item, rest))
        })
    }
}

/// Events on their way to a watcher: the batch of one revision goes out as it is when it is wanted whole and alone.
#[derive(Default)]
struct Found {
    whole: Option<Arc<[Event]>>,
    some: Vec<Event>,
}

impl Found {
    fn add_whole(&mut self, events: &Arc<[Event]>) {
        if self.whole.is_none() && self.some.is_empty() {
            self.whole = Some(Arc::clone(events));
        } else {
            self.some.extend(events.iter().cloned());
        }
    }

    fn events(self) -> Option<Arc<[Event]>> {
        match self.whole {
            Some(whole) if self.some.is_empty() => Some(whole),
            Some(whole) => Some(whole.iter().cloned().chain(self.some).collect()),
            None => (!self.some.is_empty()).then(|| self.some.into()),
        }
    }
}
