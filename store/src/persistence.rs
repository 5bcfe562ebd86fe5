//! What of the state is on disk, and how a member gets it back.
//!
//! ```text
//! <dir>/state/           the checkpoint in sled: seconds behind, so that a restart replays little
//! <dir>/state.snapshot   the snapshot file: complete in itself, behind by as much log as is kept
//! ```
//! The log is purged up to the snapshot file at most. So the file and the log always hold everything, and a checkpoint that
//! cannot be read is set aside at no loss.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    checkpoint::{self, Checkpoint, CheckpointError},
    rows::Owner,
    snapshot::{self, LoadError, Restored, SnapshotSink},
    state_machine::{Position, StateMachine, View},
};

/// Pieces of a snapshot between the connection and the disk.
const PIECES_MAX: usize = 16;

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
}

/// The state of one member on disk.
pub(crate) struct Persistence {
    snapshot: PathBuf,
    owner: Owner,
    /// `None` once the store has stopped.
    checkpoint: Mutex<Option<Checkpoint>>,
    /// What the snapshot file holds.
    saved: Mutex<Option<Position>>,
}

/// A snapshot received whole and verified, in a file of its own.
pub(crate) struct Received {
    file: PathBuf,
    restored: Restored,
}

impl Persistence {
    /// Reads back what there is. Blocks.
    pub(crate) fn open(dir: &Path, owner: Owner) -> Result<(StateMachine, Self), StateError> {
        let (state_dir, snapshot) = (dir.join("state"), dir.join("state.snapshot"));
        let (machine, checkpoint) = open_checkpoint(&state_dir, owner)?;
        let saved = match snapshot::peek(&snapshot, owner.cluster_id) {
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
            let restored =
                snapshot::load(&path, owner.cluster_id).map_err(|source| StateError::Snapshot { path, source })?;
            machine.install(restored);
        }
        let (checkpoint, saved) = (Mutex::new(Some(checkpoint)), Mutex::new(saved));
        Ok((machine, Self { snapshot, owner, checkpoint, saved }))
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
        let written = tokio::task::spawn_blocking(move || match this.checkpoint.lock().as_mut() {
            Some(checkpoint) => checkpoint.write(&view),
            None => Ok(()),
        })
        .await;
        written.unwrap_or_else(|error| Err(CheckpointError::Engine(crate::engine::EngineError(error.to_string()))))
    }

    /// Closes the checkpoint's files, so that another process may open them.
    pub(crate) async fn close(self: &Arc<Self>) {
        let this = self.clone();
        if tokio::task::spawn_blocking(move || drop(this.checkpoint.lock().take())).await.is_err() {
            tracing::error!("closing the checkpoint panicked");
        }
    }

    /// Writes the snapshot file anew, durably.
    pub(crate) async fn save(self: &Arc<Self>, view: View) -> io::Result<()> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let position = view.position();
            let bytes = snapshot::save(&this.snapshot, view, this.owner)?;
            *this.saved.lock() = position;
            tracing::info!(bytes, ?position, "wrote a snapshot file");
            Ok(())
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Takes a snapshot in; nothing of it counts before all of it is verified and on disk.
    pub(crate) async fn receive<S>(&self, mut pieces: Pin<Box<S>>) -> io::Result<Received>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + ?Sized,
    {
        let (queue, taken) = mpsc::channel(PIECES_MAX);
        let file = self.snapshot.with_extension("received");
        let cluster_id = self.owner.cluster_id;
        let writer = tokio::task::spawn_blocking(move || write_received(file, cluster_id, taken));
        while let Some(piece) = pieces.next().await {
            // The writer has given up: its own error says why.
            if queue.send(piece?).await.is_err() {
                break;
            }
        }
        drop(queue);
        writer.await.map_err(io::Error::other)?
    }

    /// Makes a received snapshot the state.
    pub(crate) async fn install(self: &Arc<Self>, machine: &StateMachine, received: Received) -> io::Result<()> {
        let (this, machine) = (self.clone(), machine.clone());
        tokio::task::spawn_blocking(move || {
            fs::rename(&received.file, &this.snapshot)?;
            if let Some(dir) = this.snapshot.parent() {
                File::open(dir)?.sync_all()?;
            }
            *this.saved.lock() = received.restored.position();
            machine.install(received.restored);
            Ok(())
        })
        .await
        .map_err(io::Error::other)?
    }
}

fn open_checkpoint(dir: &Path, owner: Owner) -> Result<(StateMachine, Checkpoint), StateError> {
    match checkpoint::open(dir, owner) {
        Ok(opened) => Ok(opened),
        Err(error @ CheckpointError::Foreign { .. }) => Err(error.into()),
        Err(error) => {
            tracing::error!(path = %dir.display(), %error, "the checkpoint cannot be read and is set aside; the log replaces it");
            checkpoint::set_aside(dir).map_err(|source| StateError::Io { path: dir.to_path_buf(), source })?;
            Ok(checkpoint::open(dir, owner)?)
        }
    }
}

fn write_received(path: PathBuf, cluster_id: u64, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<Received> {
    let mut sink = SnapshotSink::new(cluster_id);
    let mut file = File::create(&path)?;
    while let Some(piece) = pieces.blocking_recv() {
        sink.push(&piece).map_err(io::Error::other)?;
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(Received { file: path, restored: sink.finish().map_err(io::Error::other)? })
}
