//! What the runtime knows about pods and containers, as snapshots and events.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::spec::SandboxSpec;

/// A pod that the runtime holds.
#[derive(Debug, Clone)]
pub struct SandboxStatus {
    /// As it was asked for; survives an agent restart.
    pub spec: SandboxSpec,
    /// Whether its shim lives.
    pub state: SandboxState,
    /// When the sandbox was made.
    pub created_at: Timestamp,
    /// Its containers, in order of (name, attempt).
    pub containers: Vec<ContainerStatus>,
}

/// Whether a sandbox can run containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxState {
    /// The shim answers.
    Ready,
    /// The shim is gone (killed, or the node was restarted): nothing of the pod runs, the sandbox can only be removed.
    Lost,
}

/// One start of one container.
#[derive(Debug, Clone)]
pub struct ContainerStatus {
    /// Hexadecimal, unique; the Kubernetes container id is `kontiki://<id>`.
    pub id: String,
    /// Uid of its pod.
    pub pod_uid: String,
    /// The container's name in the pod.
    pub name: String,
    /// How often it was started before.
    pub attempt: u32,
    /// The image reference it was started from, normalized.
    pub image: String,
    /// Digest of the image's configuration (`sha256:...`).
    pub image_id: String,
    /// Where its output goes.
    pub log_path: PathBuf,
    /// As given in the spec.
    pub labels: BTreeMap<String, String>,
    /// Its state now.
    pub state: ContainerState,
}

/// Life of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Its files exist, its process does not yet.
    Created,
    /// Its process runs.
    Running {
        /// Process id on the node.
        pid: u32,
        /// When its program was executed.
        started_at: Timestamp,
    },
    /// Its process has ended.
    Exited(Exit),
}

/// Exit code of a container whose end nobody observed, as if it had been killed.
pub(super) const UNKNOWN_CODE: i32 = 137;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal for a killed process.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// The shim died first, so `code` (137) and `finished_at` are not observed: `ContainerStatusUnknown`.
    pub unknown: bool,
    /// When its program was executed.
    pub started_at: Timestamp,
    /// When its end was seen.
    pub finished_at: Timestamp,
}

/// Something happened without being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A container's process ended.
    ContainerExited {
        /// Uid of the pod.
        pod_uid: String,
        /// Name of the container.
        name: String,
        /// Its id.
        id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The pod's shim died, and its containers with it.
    SandboxLost {
        /// Uid of the pod.
        pod_uid: String,
    },
}

/// What a cgroup has used and uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time since creation, in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use, page cache included.
    pub memory_usage: u64,
    /// Memory in use without inactive file pages: what counts toward eviction.
    pub memory_working_set: u64,
    /// Anonymous memory.
    pub memory_rss: u64,
    /// Minor page faults.
    pub page_faults: u64,
    /// Major page faults.
    pub major_page_faults: u64,
    /// Processes and threads.
    pub pids: u64,
}
