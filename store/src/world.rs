//! What a member touches outside of its own memory: disk, network, chance, threads. Time is tokio's.
//!
//! A member never reaches around these, so a simulation that gives others in their place decides everything that happens to
//! it, and the same seed gives the same run. The real ones are what `Store::start` uses.

mod disk;
mod hold;
mod network;
mod planted;
mod real_disk;
mod sockets;
mod tcp;

use std::{fmt, io, sync::Arc};

use futures_util::FutureExt;

pub use crate::engine::{Changes, Engine, EngineError};
pub use disk::{Disk, DiskFile};
pub(crate) use disk::{DiskReader, write_durably};
pub use hold::Hold;
pub use network::{Audience, BoxError, Network, PeerChannel, Serving, Subject, Traffic};
pub use planted::Planted;
pub use real_disk::RealDisk;
pub(crate) use sockets::RealSockets;
pub use sockets::{Port, Socket, Sockets};
pub use tcp::Tcp;

/// Draws 64 bits.
pub type Random = dyn Fn() -> u64 + Send + Sync;

/// Where work runs that would hold up other tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// On threads of the system.
    System,
    /// At once, in the task that asks: one thread, one order of events.
    None,
}

/// See the module's documentation.
#[derive(Clone)]
pub struct World {
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// How other members are reached.
    pub network: Arc<dyn Network>,
    /// For identifiers and delays.
    pub random: Arc<Random>,
    /// Where blocking work runs.
    pub threads: Threads,
    /// Stops the member for a while, where that is simulated; a real process is stopped by its machine.
    pub hold: Option<Hold>,
    /// A bug on purpose; means nothing without the feature `planted-bugs`.
    pub planted: Option<Planted>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("disk", &self.disk).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl World {
    /// The machine this process runs on.
    pub(crate) fn real(network: Arc<dyn Network>) -> Self {
        Self {
            disk: Arc::new(RealDisk),
            network,
            random: Arc::new(rand::random::<u64>),
            threads: Threads::System,
            hold: None,
            planted: None,
        }
    }

    /// The machine's disk and nobody to talk to.
    pub(crate) fn unreachable() -> Self {
        Self::real(Arc::new(network::Nobody))
    }

    /// The future, as a part of the member.
    pub(crate) fn part<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        match self.hold.clone() {
            Some(hold) => hold.keep(future).left_future(),
            None => future.right_future(),
        }
    }

    /// Whether the member has this bug on purpose.
    pub(crate) fn has(&self, bug: Planted) -> bool {
        cfg!(feature = "planted-bugs") && self.planted == Some(bug)
    }

    /// A number that is not zero.
    pub(crate) fn identifier(&self) -> u64 {
        (self.random)().max(1)
    }
}

impl Threads {
    /// Runs what blocks.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            Self::System => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Self::None => Ok(work()),
        }
    }
}
