//! What the pod workers ask of the runtime: plain data, complete, with no reference to the API.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::image::Image;

/// Quality-of-service class of a pod; decides where its cgroup lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum QosClass {
    /// Requests equal limits for every container.
    Guaranteed,
    /// Some request or limit is set.
    Burstable,
    /// Nothing is requested.
    #[default]
    BestEffort,
}

/// A pod as the runtime sees it: namespaces and a parent cgroup that its containers share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The pod's uid. It names directories and cgroups, so only `[A-Za-z0-9._-]` is accepted.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Host name in the pod's own UTS namespace; empty keeps the node's (host network).
    pub hostname: String,
    /// Path of the network namespace to join; `None` is the host's network.
    pub netns: Option<PathBuf>,
    /// Share the node's IPC namespace and `/dev/shm`.
    pub host_ipc: bool,
    /// Share the node's process table.
    pub host_pid: bool,
    /// Where the pod's cgroup lies.
    pub qos: QosClass,
    /// Limits of the pod as a whole.
    pub resources: Resources,
    /// `net.*` and `kernel.shm*` style settings, written inside the pod's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of the `/dev/shm` that the containers share; 0 is 64 MiB.
    pub shm_bytes: u64,
    /// Kept with the pod and given back after an agent restart; the runtime never reads them.
    pub labels: BTreeMap<String, String>,
}

/// Limits on one cgroup. `None` leaves the kernel's default, which is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory limit in bytes.
    pub memory_limit: Option<u64>,
    /// CPU request in thousandths of a core; becomes a weight.
    pub cpu_request: Option<u64>,
    /// CPU limit in thousandths of a core; becomes a quota per 100 ms.
    pub cpu_limit: Option<u64>,
    /// Most processes and threads.
    pub pids_limit: Option<u64>,
    /// CPUs the cgroup may use, in the kernel's list format (`0-3,7`).
    pub cpus: Option<String>,
    /// Adjustment of the out-of-memory score. Lowering it may be refused by the node and is then skipped.
    pub oom_score_adj: Option<i32>,
}

/// One start of one container.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// The container's name in the pod.
    pub name: String,
    /// How often it was started before; (pod, name, attempt) is unique.
    pub attempt: u32,
    /// The unpacked image to run, from [`crate::image::Images`].
    pub image: Arc<Image>,
    /// Replaces the image's entrypoint when not empty (and then its default arguments too).
    pub command: Vec<String>,
    /// Replaces the image's default arguments when not empty.
    pub args: Vec<String>,
    /// Set after, and winning over, the image's environment.
    pub env: Vec<(String, String)>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Bind mounts: volumes, `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, the termination log.
    pub mounts: Vec<Mount>,
    /// Keep a standard input open that clients may attach to.
    pub stdin: bool,
    /// The standard streams are a terminal.
    pub terminal: bool,
    /// Limits of this container.
    pub resources: Resources,
    /// Identity and privileges.
    pub security: Security,
    /// Where the shim writes the container's output in CRI log format; its directory is created.
    pub log_path: PathBuf,
    /// Kept with the container and given back after an agent restart; the runtime never reads them.
    pub labels: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// A container that runs `image` as its author meant it, with default privileges and no limits.
    pub fn new(name: impl Into<String>, attempt: u32, image: Arc<Image>, log_path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            attempt,
            image,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            mounts: Vec::new(),
            stdin: false,
            terminal: false,
            resources: Resources::default(),
            security: Security::default(),
            log_path: log_path.into(),
            labels: BTreeMap::new(),
        }
    }
}

/// A file or directory of the node that appears in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Path on the node; it must exist.
    pub source: PathBuf,
    /// Absolute path in the container; it is created when missing, and its symbolic links stay inside the image.
    pub target: PathBuf,
    /// Not writable through this mount.
    pub read_only: bool,
    /// With `read_only`: mounts below the source are not writable either.
    pub recursive_read_only: bool,
    /// Whether later mounts travel between node and container.
    pub propagation: Propagation,
}

impl Mount {
    /// A private bind mount.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>, read_only: bool) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            read_only,
            recursive_read_only: false,
            propagation: Propagation::Private,
        }
    }
}

/// `mountPropagation` of a volume mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// Neither direction.
    #[default]
    Private,
    /// Mounts made on the node appear in the container.
    HostToContainer,
    /// Both directions; only for privileged containers.
    Bidirectional,
}

/// Identity and privileges of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Every capability the node has, all devices, no seccomp, writable `/sys`.
    pub privileged: bool,
    /// Replaces the image's user.
    pub run_as_user: Option<u32>,
    /// Replaces the primary group of the user.
    pub run_as_group: Option<u32>,
    /// Refuse to start as user 0.
    pub run_as_non_root: bool,
    /// Groups beside the primary one (`supplementalGroups` and `fsGroup`).
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy: Strict`: groups that the image's /etc/group gives the user are left out.
    pub strict_groups: bool,
    /// Capabilities added to the default ones, with or without `CAP_`; `ALL` is accepted.
    pub add_capabilities: Vec<String>,
    /// Capabilities dropped from the default ones; `ALL` is accepted.
    pub drop_capabilities: Vec<String>,
    /// `false` sets `no_new_privs`.
    pub allow_privilege_escalation: bool,
    /// The root file system is mounted read-only.
    pub read_only_root: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            privileged: false,
            run_as_user: None,
            run_as_group: None,
            run_as_non_root: false,
            supplemental_groups: Vec::new(),
            strict_groups: false,
            add_capabilities: Vec::new(),
            drop_capabilities: Vec::new(),
            allow_privilege_escalation: true,
            read_only_root: false,
            seccomp: Seccomp::RuntimeDefault,
            unmasked_proc: false,
        }
    }
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seccomp {
    /// The list that other container runtimes allow by default.
    #[default]
    RuntimeDefault,
    /// All of them.
    Unconfined,
}
