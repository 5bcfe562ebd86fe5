//! The container runtime: pods as sets of namespaces, containers as processes in them.
//!
//! One small static program per pod, the shim, is the parent of the pod's containers, writes their logs and records
//! how they end; so an agent may stop, crash or be upgraded, and pods do not notice. [`Runtime`] decides how a container
//! is set up and keeps the states; it does not know the API, pull images, make networks or restart anything.
//!
//! On disk: `<run_dir>/pods/<uid>/` with the pod's record, its socket and one folder per container, gone after a reboot
//! or in doubt then; `<state_dir>/containers/<id>/` with what a container wrote. What is found in the second without
//! the first is removed at start.

mod capabilities;
mod error;
mod exec;
mod pod;
mod programs;
#[path = "../shim/src/protocol.rs"]
mod protocol;
mod record;
mod sandbox;
mod seccomp;
mod setup;
mod shim;
mod spec;
mod start;
mod status;
mod stream;
mod terminal;

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::cgroup::Cgroups;
pub use error::{Error, StartError, StartReason};
pub use exec::{Attached, Exec, ExecSpec, Ran};
use pod::Pod;
use programs::ShimProgram;
use protocol::Request;
pub use spec::{ContainerSpec, Mount, Propagation, QosClass, Resources, SandboxSpec, Seccomp, Security};
pub use status::{ContainerState, ContainerStatus, Event, Exit, SandboxState, SandboxStatus, Stats};
pub use stream::Stream;

/// A receiver that falls further behind than this has to list the pods.
const EVENTS: usize = 4096;
/// How long a killed process is waited for.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
const SIGKILL: i32 = 9;

/// Where the runtime keeps its things.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sockets and records; on a memory file system, since it may hold environments.
    pub run_dir: PathBuf,
    /// What containers write to their root file systems; on a disk.
    pub state_dir: PathBuf,
    /// The group below which all groups are made, relative to each hierarchy; several agents on one node need several.
    pub cgroup_root: String,
}

/// The runtime; clones are the same runtime.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    cgroups: Arc<Cgroups>,
    /// Capabilities this node can give.
    capabilities: u64,
    shim: ShimProgram,
    /// The number of the next program that is run in a container.
    next_exec: AtomicU64,
    pods: RwLock<HashMap<String, Arc<Pod>>>,
    events: broadcast::Sender<Event>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Runtime {
    /// Opens the runtime and finds the pods that an earlier agent left running.
    pub async fn open(config: Config) -> Result<Self, Error> {
        for dir in [config.run_dir.join("pods"), config.state_dir.join("containers")] {
            fs::create_dir_all(&dir).map_err(Error::io(dir.display().to_string()))?;
        }
        let cgroups = Arc::new(Cgroups::open(&config.cgroup_root)?);
        let inner = Inner {
            capabilities: capabilities::available()?,
            shim: ShimProgram::new().map_err(Error::io("memory file for the shim"))?,
            next_exec: AtomicU64::new(exec::first_number()),
            pods: RwLock::default(),
            events: broadcast::Sender::new(EVENTS),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            cgroups,
            config,
        };
        let runtime = Self { inner: Arc::new(inner) };
        runtime.recover().await?;
        Ok(runtime)
    }

    /// What happens from now on. A receiver that gets `Lagged` must list [`Runtime::pods`] again.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// All pods.
    pub fn pods(&self) -> Vec<SandboxStatus> {
        let pods: Vec<_> = self.inner.pods.read().values().cloned().collect();
        pods.iter().filter(|pod| pod.is_complete()).map(|pod| pod.status()).collect()
    }

    /// One pod.
    pub fn pod(&self, uid: &str) -> Option<SandboxStatus> {
        let pod = self.inner.pods.read().get(uid).cloned();
        pod.filter(|pod| pod.is_complete()).map(|pod| pod.status())
    }

    /// Sends a signal to the container's first process.
    pub async fn signal_container(&self, pod_uid: &str, id: &str, signal: i32) -> Result<(), Error> {
        self.find(pod_uid)?.command(id, Request::Signal { id: id.to_owned(), signal }).await
    }

    /// Asks the container to end, after `grace` kills it, and returns how it ended. Stopping twice is fine.
    pub async fn stop_container(&self, pod_uid: &str, id: &str, grace: Duration) -> Result<Exit, Error> {
        let pod = self.find(pod_uid)?;
        let signal = pod.record_of(id)?.stop_signal;
        if !grace.is_zero() {
            self.send(&pod, id, signal).await?;
            if let Some(exit) = ended(&pod, id, grace).await? {
                return Ok(exit);
            }
        }
        self.kill(&pod, id).await
    }

    /// Kills the container with all its processes and returns how it ended.
    async fn kill(&self, pod: &Pod, id: &str) -> Result<Exit, Error> {
        self.send(pod, id, SIGKILL).await?;
        self.inner.cgroups.kill(&pod.group.join(id))?;
        let still = || Error::Invalid(format!("container {id} does not end although it was killed"));
        ended(pod, id, KILL_TIMEOUT).await?.ok_or_else(still)
    }

    /// A container that has just ended, or whose shim is gone, needs no signal: waiting for its end tells all.
    async fn send(&self, pod: &Pod, id: &str, signal: i32) -> Result<(), Error> {
        match pod.command(id, Request::Signal { id: id.to_owned(), signal }).await {
            Err(Error::ContainerNotFound(_) | Error::ShimLost(_)) => Ok(()),
            result => result,
        }
    }

    /// Opens the container's log file again, after it was renamed.
    pub async fn reopen_log(&self, pod_uid: &str, id: &str) -> Result<(), Error> {
        self.find(pod_uid)?.command(id, Request::ReopenLog { id: id.to_owned() }).await
    }

    /// What the pod has used and uses.
    pub async fn pod_stats(&self, pod_uid: &str) -> Result<Stats, Error> {
        let pod = self.find(pod_uid)?;
        self.stats(pod.group.clone()).await
    }

    /// What the container has used and uses.
    pub async fn container_stats(&self, pod_uid: &str, id: &str) -> Result<Stats, Error> {
        let pod = self.find(pod_uid)?;
        pod.record_of(id)?;
        self.stats(pod.group.join(id)).await
    }

    async fn stats(&self, group: PathBuf) -> Result<Stats, Error> {
        let cgroups = Arc::clone(&self.inner.cgroups);
        blocking(move || Ok(cgroups.stats(&group))).await
    }

    /// Lets go of all pods, which go on. With `remove_cgroups` the agent leaves the node: everything below its root
    /// group is killed, and the group removed.
    pub async fn shutdown(&self, remove_cgroups: bool) -> Result<(), Error> {
        self.inner.stop.cancel();
        self.inner.pods.write().clear();
        if remove_cgroups {
            self.inner.cgroups.remove_root().await?;
        }
        Ok(())
    }

    fn find(&self, uid: &str) -> Result<Arc<Pod>, Error> {
        self.inner.pods.read().get(uid).cloned().ok_or_else(|| Error::PodNotFound(uid.to_owned()))
    }

    fn pod_dir(&self, uid: &str) -> PathBuf {
        self.inner.config.run_dir.join("pods").join(uid)
    }

    /// Where a container's writes lie.
    fn layer_dir(&self, id: &str) -> PathBuf {
        self.inner.config.state_dir.join("containers").join(id)
    }
}

/// Waits at most `patience` for the end of a container.
async fn ended(pod: &Pod, id: &str, patience: Duration) -> Result<Option<Exit>, Error> {
    let mut state = pod.watch(id)?;
    let wait = state.wait_for(|state| matches!(state, ContainerState::Exited(_)));
    match tokio::time::timeout(patience, wait).await {
        Ok(Ok(state)) => match &*state {
            ContainerState::Exited(exit) => Ok(Some(exit.clone())),
            ContainerState::Created | ContainerState::Running { .. } => Ok(None),
        },
        Ok(Err(_)) => Err(Error::ContainerNotFound(id.to_owned())),
        Err(_) => Ok(None),
    }
}

/// Runs file operations where they may take their time.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => Err(Error::Invalid(failure.to_string())),
    }
}
