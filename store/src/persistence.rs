//! What of the state is on disk, and how a member gets it back.
//!
//! ```text
//! <dir>/state/           the checkpoint in sled: seconds behind, so that a restart replays little
//! <dir>/state.fresh/     the next one, while it is written anew
//! <dir>/state.snapshot   the snapshot file: complete in itself, behind by as much log as is kept
//! ```
//! sled never gives space back. So when the checkpoint takes much more of it than the state does, it is written anew beside the
//! old one, and takes its place.
//!
//! The log is purged up to the snapshot file at most. So the file and the log always hold everything, and a checkpoint that
//! cannot be read is set aside at no loss.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;

use crate::{
    checkpoint::{self, Checkpoint, CheckpointError},
    engine::EngineError,
    rows::Owner,
    snapshot::{self, LoadError, Restored, SnapshotSink},
    state_machine::{Position, StateMachine, View},
    world::{Disk, DiskFile, World},
};

/// What sled may need to open its files.
const ROOM_TO_OPEN: u64 = 16 << 20;
/// sled needs about 1.6 times what its rows hold; with so many times more than the state, and a good deal besides, it is
/// written anew.
const SPARSE_FACTOR: u64 = 3;

/// Why the state on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The checkpoint belongs to somebody else.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The snapshot file cannot be read, and nothing else holds its state.
    #[error("{} cannot be used; remove the member from the cluster, empty its directory and let it join again", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadError,
    },
    /// What can be read of the state ends before the log begins.
    #[error(
        "{}: the state that can be read ends with entry {state}, and the log begins after {purged}; remove the member from the \
         cluster, empty its directory and let it join again",
        path.display()
    )]
    Gap {
        /// The snapshot file, or where it should be.
        path: PathBuf,
        /// The last entry that the state holds.
        state: u64,
        /// The last entry that is gone from the log.
        purged: u64,
    },
}

/// The state of one member on disk.
pub(crate) struct Persistence {
    world: World,
    snapshot: PathBuf,
    owner: Owner,
    /// The folder of the checkpoint.
    rows: PathBuf,
    checkpoint: Mutex<Rows>,
    /// Bytes that the checkpoint takes.
    size_on_disk: AtomicU64,
    /// What the snapshot file holds.
    saved: Mutex<Option<Position>>,
}

/// The checkpoint, as far as there is one.
enum Rows {
    Open(Box<Checkpoint>),
    /// It could not be written, or not even opened for want of room. Snapshot file and log do without it; the next one begins
    /// anew.
    Lost,
    /// The store has stopped.
    Closed,
}

/// A snapshot received whole and verified, in a file of its own.
pub(crate) struct Received {
    file: PathBuf,
    restored: Restored,
}

impl Persistence {
    /// Reads back what there is. Blocks.
    pub(crate) fn open(world: World, dir: &Path, owner: Owner) -> Result<(StateMachine, Self), StateError> {
        let (state_dir, snapshot) = (dir.join("state"), dir.join("state.snapshot"));
        let disk = &*world.disk;
        // A snapshot's name may be there in memory alone, when the process before this one died right after giving it.
        disk.flush_folder(dir).map_err(|source| StateError::Io { path: dir.to_path_buf(), source })?;
        let (machine, checkpoint) = open_checkpoint(disk, &state_dir, owner)?;
        let saved = match snapshot::peek(disk, &snapshot, owner.cluster_id) {
            Ok(saved) => saved,
            Err(LoadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) if machine.view().position().is_none() => {
                return Err(StateError::Snapshot { path: snapshot, source });
            }
            Err(error) => {
                tracing::error!(path = %snapshot.display(), %error, "the snapshot file is damaged; the checkpoint replaces it");
                None
            }
        };
        if saved > machine.view().position() {
            let path = snapshot.clone();
            let restored = snapshot::load(disk, &path, owner.cluster_id)
                .map_err(|source| StateError::Snapshot { path, source })?;
            machine.install(restored);
        }
        let size_on_disk = AtomicU64::new(if let Rows::Open(rows) = &checkpoint { rows.size_on_disk() } else { 0 });
        let (checkpoint, saved) = (Mutex::new(checkpoint), Mutex::new(saved));
        Ok((machine, Self { world, snapshot, owner, rows: state_dir, checkpoint, size_on_disk, saved }))
    }

    /// Checks that the log goes on where the state ends. It does not when the snapshot file that the log was shortened for is
    /// damaged, and the checkpoint older.
    pub(crate) fn check_log(&self, view: &View, purged: Option<u64>) -> Result<(), StateError> {
        let state = view.position().map_or(0, |position| position.index);
        match purged.filter(|purged| *purged > state) {
            Some(purged) => Err(StateError::Gap { path: self.snapshot.clone(), state, purged }),
            None => Ok(()),
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// What the snapshot file holds: the log up to there may go.
    pub(crate) fn saved(&self) -> Option<Position> {
        *self.saved.lock()
    }

    /// A state to be sent.
    pub(crate) fn source(&self, view: View) -> snapshot::SnapshotSource {
        snapshot::SnapshotSource::new(view, self.owner)
    }

    /// Brings the checkpoint up to the view, durably.
    pub(crate) async fn checkpoint(self: &Arc<Self>, view: View) -> Result<(), CheckpointError> {
        let this = self.clone();
        self.run(move || this.write_rows(&view)).await
    }

    /// Writes the checkpoint anew, without the holes that deleted rows left. Whoever reads or writes the state notices nothing.
    pub(crate) async fn rewrite(self: &Arc<Self>, view: View) -> Result<(), CheckpointError> {
        let this = self.clone();
        self.run(move || this.rewrite_rows(&view)).await
    }

    async fn run(
        &self,
        work: impl FnOnce() -> Result<(), CheckpointError> + Send + 'static,
    ) -> Result<(), CheckpointError> {
        let done = self.world.threads.run(work).await;
        done.unwrap_or_else(|error| Err(CheckpointError::Engine(error.into())))
    }

    /// Bytes that the checkpoint takes on the disk.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.size_on_disk.load(Ordering::Relaxed)
    }

    /// Whether the checkpoint takes far more than its state, and there is room to write it anew.
    pub(crate) fn is_sparse(&self, view: &View, slack: u64) -> bool {
        let enough = |free: u64| free > view.bytes().saturating_mul(SPARSE_FACTOR);
        self.size_on_disk() > view.bytes().saturating_mul(SPARSE_FACTOR).saturating_add(slack)
            && self.rows.parent().and_then(|dir| self.world.disk.free_bytes(dir)).is_none_or(enough)
    }

    /// One that fails is given up: what became of its files is unknown then.
    fn write_rows(&self, view: &View) -> Result<(), CheckpointError> {
        let mut rows = self.checkpoint.lock();
        if matches!(*rows, Rows::Lost) {
            self.world.disk.remove_folder(&self.rows).map_err(EngineError::from)?;
            *rows = Rows::Open(Box::new(checkpoint::open(&*self.world.disk, &self.rows, self.owner)?.1));
        }
        let Rows::Open(checkpoint) = &mut *rows else { return Ok(()) };
        let written = checkpoint.write(view);
        self.size_on_disk.store(checkpoint.size_on_disk(), Ordering::Relaxed);
        if written.is_err() {
            *rows = Rows::Lost;
        }
        written
    }

    fn rewrite_rows(&self, view: &View) -> Result<(), CheckpointError> {
        let (disk, fresh) = (&*self.world.disk, fresh(&self.rows));
        let mut rows = self.checkpoint.lock();
        if !matches!(*rows, Rows::Open(_)) {
            return Ok(());
        }
        disk.remove_folder(&fresh).map_err(EngineError::from)?;
        let (_, mut written) = checkpoint::open(disk, &fresh, self.owner)?;
        written.write(view)?;
        // A crash from here on costs the next start a longer replay, and nothing else.
        *rows = Rows::Lost;
        let resumed = written.moved(|| {
            disk.remove_folder(&self.rows)?;
            disk.rename(&fresh, &self.rows)?;
            if let Some(dir) = self.rows.parent() {
                disk.flush_folder(dir)?;
            }
            disk.rows(&self.rows)
        })?;
        let (before, after) = (self.size_on_disk(), resumed.size_on_disk());
        tracing::info!(before, after, "the checkpoint is written anew");
        self.size_on_disk.store(after, Ordering::Relaxed);
        *rows = Rows::Open(Box::new(resumed));
        Ok(())
    }

    /// Closes the checkpoint's files, so that another process may open them.
    pub(crate) async fn close(self: &Arc<Self>) {
        let this = self.clone();
        if self
            .world
            .threads
            .run(move || drop(std::mem::replace(&mut *this.checkpoint.lock(), Rows::Closed)))
            .await
            .is_err()
        {
            tracing::error!("closing the checkpoint panicked");
        }
    }

    /// Writes the snapshot file anew, durably.
    pub(crate) async fn save(self: &Arc<Self>, view: View) -> io::Result<()> {
        let this = self.clone();
        let written = self.world.threads.run(move || {
            let position = view.position();
            let bytes = snapshot::save(&*this.world.disk, &this.snapshot, view, this.owner)?;
            *this.saved.lock() = position;
            tracing::info!(bytes, ?position, "wrote a snapshot file");
            Ok(())
        });
        written.await?
    }

    /// Takes a snapshot in; nothing of it counts before all of it is verified and on disk. What the view has already takes no
    /// more memory.
    pub(crate) async fn receive<S>(&self, mut pieces: Pin<Box<S>>, at_hand: &View) -> io::Result<Received>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + ?Sized,
    {
        let path = self.snapshot.with_extension("received");
        let sink = SnapshotSink::new(self.owner.cluster_id).sharing(at_hand);
        let (disk, at) = (self.world.disk.clone(), path.clone());
        let file = self.world.threads.run(move || disk.create(&at)).await??;
        let mut incoming = Incoming { file, path, length: 0, sink };
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            incoming = self.world.threads.run(move || incoming.take(&piece)).await??;
        }
        self.world.threads.run(move || incoming.finish()).await?
    }

    /// Makes a received snapshot the state.
    pub(crate) async fn install(self: &Arc<Self>, machine: &StateMachine, received: Received) -> io::Result<()> {
        let (this, machine) = (self.clone(), machine.clone());
        let installed = self.world.threads.run(move || {
            let disk = &*this.world.disk;
            disk.rename(&received.file, &this.snapshot)?;
            if let Some(dir) = this.snapshot.parent() {
                disk.flush_folder(dir)?;
            }
            *this.saved.lock() = received.restored.position();
            machine.install(received.restored);
            // The state before is held by nobody else now.
            if let Rows::Open(checkpoint) = &mut *this.checkpoint.lock() {
                checkpoint.forget();
            }
            Ok(())
        });
        installed.await?
    }
}

/// Where a checkpoint is written that is to take the place of another.
fn fresh(rows: &Path) -> PathBuf {
    rows.with_extension("fresh")
}

fn open_checkpoint(disk: &dyn Disk, dir: &Path, owner: Owner) -> Result<(StateMachine, Rows), StateError> {
    // Left behind by a process that ended while it wrote.
    disk.remove_folder(&fresh(dir)).map_err(|source| StateError::Io { path: fresh(dir), source })?;
    let opened = |(machine, checkpoint)| (machine, Rows::Open(Box::new(checkpoint)));
    match checkpoint::open(disk, dir, owner) {
        Ok(found) => Ok(opened(found)),
        Err(error @ CheckpointError::Foreign { .. }) => Err(error.into()),
        // Opening writes, too.
        Err(error) if dir.parent().and_then(|dir| disk.free_bytes(dir)).is_some_and(|free| free < ROOM_TO_OPEN) => {
            tracing::warn!(path = %dir.display(), %error, "the checkpoint cannot be opened on a full disk; the log replaces it");
            Ok((StateMachine::new(), Rows::Lost))
        }
        Err(error) => {
            tracing::error!(path = %dir.display(), %error, "the checkpoint cannot be read and is set aside; the log replaces it");
            checkpoint::set_aside(disk, dir).map_err(|source| StateError::Io { path: dir.to_path_buf(), source })?;
            Ok(opened(checkpoint::open(disk, dir, owner)?))
        }
    }
}

/// A snapshot on its way in.
struct Incoming {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
    sink: SnapshotSink,
}

impl Incoming {
    fn take(mut self, piece: &[u8]) -> io::Result<Self> {
        self.sink.push(piece).map_err(io::Error::other)?;
        self.file.write_at(piece, self.length)?;
        self.length += piece.len() as u64;
        Ok(self)
    }

    fn finish(self) -> io::Result<Received> {
        self.file.flush()?;
        Ok(Received { file: self.path, restored: self.sink.finish().map_err(io::Error::other)? })
    }
}
