//! The write-ahead log: what a member has promised, on its own disk.
//!
//! Promises: an append is reported complete only after its bytes are on the disk, in the order of submission; one thread
//! writes, so everything that arrives during a flush shares the next one; a torn tail is cut at start, since nothing in it
//! was ever acknowledged; a bad record that was acknowledged is refused, never skipped. A failed write or flush ends the
//! process: what the kernel did with the data is unknown then, and no retry can tell.
//!
//! Deliberately absent: knowledge of Raft beyond votes and positions, and of what an entry means.
//!
//! ```text
//! <dir>/0000000000000001.wal   header | record | record | ...  | zeros
//! ```

mod error;
#[cfg(test)]
mod failing_disk;
mod index;
mod latency;
mod preparer;
mod record;
mod recovery;
mod reserve;
mod segment;
mod writer;

pub use error::WalError;
pub(crate) use record::{Entry, EntryKind, Position, Vote};

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{mpsc, oneshot};

use index::{Index, Lookup};
use latency::Latency;
use reserve::Reserve;
use writer::{Job, Writer};

use crate::{
    config::Limits,
    world::{Planted, Threads, World},
};

/// Who the log belongs to; written into every segment, so that a foreign file is never replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
}

/// Sizes, as the limits have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) segment_bytes_first: u64,
    pub(crate) segment_bytes_max: u64,
    /// Recent entries kept in memory for replication and apply; older ones are read from the disk.
    pub(crate) cache_bytes: usize,
}

impl From<Limits> for Options {
    fn from(limits: Limits) -> Self {
        let Limits { segment_bytes_first, segment_bytes_max, log_cache_bytes: cache_bytes, .. } = limits;
        Self { segment_bytes_first, segment_bytes_max, cache_bytes }
    }
}

/// Jobs waiting for the writer. One append of openraft is one job of up to 4096 entries, so this many are never reached in
/// health; when it is, the submitter waits without blocking its thread.
const QUEUE_JOBS_MAX: usize = 1024;

/// Called by the writer thread once the entries are durable.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What both the handle and the writer see.
pub(crate) struct Shared {
    index: Mutex<Index>,
    latency: Latency,
}

enum Running {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// A handle to the log; clones share it.
#[derive(Clone)]
pub(crate) struct Wal {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    writer: Arc<Mutex<Option<Running>>>,
    dir: Arc<PathBuf>,
    reserve: Arc<Reserve>,
    threads: Threads,
}

impl Wal {
    /// Opens or creates the log in `dir`, replaying what is there.
    pub(crate) fn open(world: &World, dir: &Path, identity: Identity, options: Options) -> Result<Self, WalError> {
        let mut recovered = recovery::recover(&*world.disk, dir, identity, options)?;
        if world.has(Planted::ForgetVote) {
            recovered.index.vote = None;
        }
        let shared = Arc::new(Shared { index: Mutex::new(recovered.index), latency: Latency::default() });
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let reserve = Arc::new(Reserve::open(&world.disk, dir, options.segment_bytes_first));
        let writer = Writer::new(world, dir, identity, options, recovered.tail, shared.clone(), reserve.clone())?;
        let running = match world.threads {
            Threads::System => {
                let thread = std::thread::Builder::new().name("wal".into()).spawn(move || writer.run(queue));
                Running::Thread(thread.map_err(|source| WalError::io(dir, source))?)
            }
            Threads::None => Running::Task(tokio::spawn(world.part(writer.run_as_task(queue)))),
        };
        let (writer, dir) = (Arc::new(Mutex::new(Some(running))), Arc::new(dir.to_path_buf()));
        Ok(Self { shared, jobs, writer, reserve, dir, threads: world.threads })
    }

    /// Makes what is missing of the segments kept for a full disk; says whether none is, afterwards.
    pub(crate) async fn fill_reserve(&self) -> io::Result<bool> {
        let reserve = self.reserve.clone();
        self.threads.run(move || reserve.fill()).await?
    }

    /// Adds entries that follow the last one. They are readable when this returns, durable when `done` is called.
    pub(crate) async fn append(&self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        self.shared.index.lock().append(&entries)?;
        self.submit(Job::Append { entries, done }).await
    }

    /// Returns once the vote is durable.
    pub(crate) async fn save_vote(&self, vote: Vote) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.submit(Job::Vote { vote, done }).await?;
        durable.await.map_err(|_| stopped())??;
        self.shared.index.lock().vote = Some(vote);
        Ok(())
    }

    /// Remembers the commit position; written along with the next batch, since a restart can do without the newest.
    pub(crate) fn save_committed(&self, committed: Option<Position>) {
        self.shared.index.lock().committed = committed;
    }

    /// Removes every entry after `last`.
    pub(crate) async fn truncate_after(&self, last: Option<Position>) -> io::Result<()> {
        self.shared.index.lock().truncate_after(last);
        self.submit(Job::Truncate(last)).await
    }

    /// Forgets every entry up to and including `upto`; the log may then begin after a gap.
    pub(crate) async fn purge(&self, upto: Position) -> io::Result<()> {
        self.shared.index.lock().purge(upto);
        self.submit(Job::Purge(upto)).await
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.shared.index.lock().vote
    }

    pub(crate) fn committed(&self) -> Option<Position> {
        self.shared.index.lock().committed
    }

    pub(crate) fn purged(&self) -> Option<Position> {
        self.shared.index.lock().purged
    }

    /// The last entry, or the last purged position when there is none.
    pub(crate) fn last(&self) -> Option<Position> {
        self.shared.index.lock().last()
    }

    /// Bytes of entries not purged yet.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.shared.index.lock().retained_bytes()
    }

    /// The last position such that the entries after it take `bytes` at most.
    pub(crate) fn position_before_last_bytes(&self, bytes: u64) -> Option<Position> {
        self.shared.index.lock().position_before_last_bytes(bytes)
    }

    /// The entries of `from..to` in order, as many as there are and as fit into `bytes_max`, at least one.
    pub(crate) async fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let lookup = self.shared.index.lock().lookup(from, to, bytes_max);
        match lookup {
            Lookup::Memory(entries) => Ok(entries),
            Lookup::Disk(runs) => {
                let read = self.threads.run(move || {
                    let mut entries = Vec::new();
                    for run in runs {
                        run.read(&mut entries)?;
                    }
                    Ok(entries)
                });
                read.await?
            }
        }
    }

    /// The 99th percentile of the last flushes.
    pub(crate) fn fsync_p99(&self) -> Duration {
        self.shared.latency.p99()
    }

    /// All flushes.
    pub(crate) fn fsync_histogram(&self) -> Histogram {
        self.shared.latency.histogram()
    }

    /// How long the flush under way has taken so far; zero when there is none.
    pub(crate) fn fsync_pending(&self) -> Duration {
        self.shared.latency.pending()
    }

    /// Writes what is queued and ends the thread. Later calls fail.
    pub(crate) async fn close(&self) {
        if self.jobs.send(Job::Stop).await.is_err() {
            tracing::debug!(dir = %self.dir.display(), "the log is closed already");
        }
        let running = self.writer.lock().take();
        let ended = match running {
            Some(Running::Thread(thread)) => self.threads.run(move || thread.join().is_ok()).await.unwrap_or(false),
            Some(Running::Task(task)) => task.await.is_ok(),
            None => return,
        };
        if !ended {
            tracing::error!(dir = %self.dir.display(), "the log thread panicked");
        }
    }

    async fn submit(&self, job: Job) -> io::Result<()> {
        match self.jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(job)) => self.jobs.send(job).await.map_err(|_| stopped()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log is closed")
}

#[cfg(test)]
mod tests;
