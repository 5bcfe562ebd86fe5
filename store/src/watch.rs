//! Watches: ordered, without gap or repetition, resumable from any revision since the last compaction.
//!
//! A watch is a cursor, not a queue. Every published state holds the events of all revisions since the last
//! compaction, so a watch reads on from its cursor whenever it is asked, and the past and the present are one source.
//! A slow watcher costs nothing but its cursor, until a compaction passes it: then it is told so and ends. Events are
//! shared by all watchers; a revision is never split.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use crate::{
    error::Error,
    mvcc::{
        range::KeyRange,
        revision::{Event, Record},
    },
    state_machine::{State, View},
};

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

#[derive(Debug, Clone, Copy)]
struct Signal {
    revision: i64,
    closed: bool,
}

/// Where `apply` publishes, and where readers and watchers look.
#[derive(Debug)]
pub(crate) struct Hub {
    published: ArcSwap<State>,
    signal: watch::Sender<Signal>,
}

impl Hub {
    pub(crate) fn new(state: State) -> Self {
        let signal = Signal { revision: state.mvcc.revision, closed: false };
        Self { published: ArcSwap::from_pointee(state), signal: watch::Sender::new(signal) }
    }

    pub(crate) fn publish(&self, state: State) {
        let revision = state.mvcc.revision;
        self.published.store(Arc::new(state));
        self.signal.send_if_modified(|signal| std::mem::replace(&mut signal.revision, revision) != revision);
    }

    pub(crate) fn view(&self) -> View {
        View::new(self.published.load_full())
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.signal.send_modify(|signal| signal.closed = true);
    }

    pub(crate) fn watch(self: &Arc<Self>, range: WatchRange) -> WatchStream {
        let seen = self.view().revision();
        let next = if range.start_revision > 0 { range.start_revision } else { seen + 1 };
        WatchStream {
            range: KeyRange::new(range.key, range.range_end),
            no_put: range.no_put,
            no_delete: range.no_delete,
            next,
            seen,
            progress: range.progress.map(|every| Progress { every, due: None, told: 0 }),
            signal: self.signal.subscribe(),
            hub: Arc::clone(self),
        }
    }

    /// Tells when there is something new for any watch; a stream of many watches needs one of these only.
    pub(crate) fn wake(self: &Arc<Self>) -> Wake {
        Wake { signal: self.signal.subscribe() }
    }
}

/// A wait for new revisions.
#[derive(Debug)]
pub struct Wake {
    signal: watch::Receiver<Signal>,
}

impl Wake {
    /// Returns when something was published since this last returned. A look at the state between two calls may have
    /// seen it already, but nothing published after the look is missed.
    pub async fn changed(&mut self) -> Result<(), Error> {
        if self.signal.borrow().closed || self.signal.changed().await.is_err() || self.signal.borrow().closed {
            return Err(Error::Stopped);
        }
        Ok(())
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
    signal: watch::Receiver<Signal>,
    range: KeyRange,
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
            // Seen before looking: what is published after the look wakes the wait.
            self.signal.mark_unchanged();
            if self.signal.borrow().closed {
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
        let stopped = |result: Result<(), watch::error::RecvError>| result.map_err(|_| Error::Stopped);
        let Some(progress) = &mut self.progress else {
            return stopped(self.signal.changed().await).map(|()| None);
        };
        let due = *progress.due.get_or_insert_with(|| tokio::time::Instant::now() + progress.every);
        tokio::select! {
            biased;
            changed = self.signal.changed() => stopped(changed).map(|()| None),
            () = tokio::time::sleep_until(due) => {
                progress.due = None;
                let reached = self.next.min(self.seen + 1) - 1;
                Ok((std::mem::replace(&mut progress.told, reached) < reached).then_some(reached))
            }
        }
    }

    /// Looks once, without waiting.
    pub fn step(&mut self) -> Result<Step, Error> {
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
        self.range.contains(&kv.key) && !(if *tombstone { self.no_delete } else { self.no_put })
    }

    /// Every event of the range up to this revision has been delivered.
    pub fn reached(&self) -> i64 {
        self.next.min(self.seen + 1) - 1
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
