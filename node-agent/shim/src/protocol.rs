//! What the agent and a pod's shim say to each other; compiled into both.
//!
//! A message is one packet of JSON on a `SOCK_SEQPACKET` socket in the pod's directory. What does not fit a packet (the
//! specification of a container, with its environment) travels as a sealed memory file beside it. Unknown fields are
//! ignored, so a field may be added at any time; a new request needs a new [`VERSION`], and the agent must go on
//! speaking the versions of shims that may still run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version of the newest request below.
pub(crate) const VERSION: u32 = 2;
/// No packet is longer.
pub(crate) const PACKET_MAX: usize = 128 * 1024;
/// No container specification, and no setup, is longer.
pub(crate) const SPEC_MAX: usize = 16 * 1024 * 1024;
/// A packet carries at most this many descriptors.
pub(crate) const FILES_MAX: usize = 4;
/// Name of the socket in the pod's directory.
pub(crate) const SOCKET: &str = "shim.sock";
/// Name of the folder with one folder per container in the pod's directory.
pub(crate) const CONTAINERS: &str = "containers";
/// Name of the file in a container's folder that says how it ended: an [`ExitRecord`].
pub(crate) const EXIT_FILE: &str = "exit.json";

/// What the shim is started with, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Version the agent speaks.
    pub(crate) version: u32,
    /// The pod's directory; the socket is made there.
    pub(crate) pod_dir: PathBuf,
    /// Network namespace to join.
    pub(crate) netns: Option<PathBuf>,
    /// Make an IPC namespace for the pod.
    pub(crate) private_ipc: bool,
    /// Make a UTS namespace with this host name.
    pub(crate) hostname: Option<String>,
    /// Written below `/proc/sys` inside the namespaces.
    pub(crate) sysctls: Vec<(String, String)>,
    /// `cgroup.procs` files the shim writes itself into first.
    pub(crate) cgroup_procs: Vec<PathBuf>,
}

/// What the shim says once on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SetupResult {
    /// The socket takes connections.
    Ready,
    /// The shim gave up.
    Failed(String),
}

/// A packet from the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToShim {
    /// Version of the request.
    pub(crate) version: u32,
    /// Comes back with the answer.
    pub(crate) serial: u64,
    /// What to do.
    pub(crate) request: Request,
}

/// What the agent can ask for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Start a container; its [`ContainerSetup`] is in the attached memory file.
    Start {
        /// The container's id.
        id: String,
    },
    /// Send a signal to a container's first process.
    Signal {
        /// The container's id.
        id: String,
        /// Number of the signal.
        signal: i32,
    },
    /// Open the log file again by its path.
    ReopenLog {
        /// The container's id.
        id: String,
    },
    /// Forget a container that has ended.
    Forget {
        /// The container's id.
        id: String,
    },
    /// Run a further program in a container. Attached: its [`ExecSetup`] in a memory file, then its three standard
    /// streams. Since version 2.
    Exec {
        /// The container's id.
        id: String,
        /// Names the process; chosen by the agent and never used again.
        number: u64,
    },
    /// Send a signal to a program that was run in a container. Since version 2.
    SignalExec {
        /// Names the process.
        number: u64,
        /// Number of the signal.
        signal: i32,
    },
    /// Copy a container's output from now on to the attached pipes: standard output if asked for, then standard error if
    /// asked for. Answered with the writing end of its standard input, if it has one. Since version 2.
    Attach {
        /// The container's id.
        id: String,
        /// The first pipe is for standard output.
        stdout: bool,
        /// The last pipe is for standard error.
        stderr: bool,
    },
    /// End a container's standard input, once nobody else holds its writing end. Since version 2.
    CloseStdin {
        /// The container's id.
        id: String,
    },
    /// List the containers.
    State,
    /// End, if no container runs.
    Shutdown,
}

/// A packet from the shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToAgent {
    /// The answer to a request.
    Reply {
        /// Serial of the request.
        serial: u64,
        /// The answer.
        reply: Reply,
    },
    /// A container has ended and its log is complete.
    Exited {
        /// The container's id.
        id: String,
        /// How.
        exit: ExitRecord,
    },
    /// A program that was run in a container has ended.
    ExecExited {
        /// Names the process.
        number: u64,
        /// Exit code; 128 + signal for a killed process.
        code: i32,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Done.
    Done,
    /// The container's program has been executed.
    Started {
        /// Its process id on the node.
        pid: u32,
        /// When, in nanoseconds since 1970.
        started_nanos: i64,
    },
    /// The output is being copied; the writing end of the input is attached, if there is one.
    Attached {
        /// The input is a terminal.
        terminal: bool,
    },
    /// All containers.
    State {
        /// In no order.
        containers: Vec<ContainerRecord>,
    },
    /// Not done.
    Failed {
        /// Which kind of failure.
        failure: Failure,
        /// Text for a person.
        message: String,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// The specification contradicts the image.
    Config,
    /// The surroundings of the process could not be made.
    Create,
    /// The program could not be executed.
    Run,
    /// No such container, or it has ended.
    NotFound,
    /// The request makes no sense now, or is not understood.
    Refused,
}

/// One container in [`Reply::State`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    /// Its id.
    pub(crate) id: String,
    /// Its process id on the node.
    pub(crate) pid: u32,
    /// When its program was executed, in nanoseconds since 1970.
    pub(crate) started_nanos: i64,
    /// How it ended.
    pub(crate) exit: Option<ExitRecord>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// Exit code; 128 + signal for a killed process.
    pub(crate) code: i32,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// The kernel killed a process of it for want of memory.
    pub(crate) oom_killed: bool,
    /// When its program was executed, in nanoseconds since 1970.
    pub(crate) started_nanos: i64,
    /// When its end was seen, in nanoseconds since 1970.
    pub(crate) finished_nanos: i64,
}

/// Everything the shim needs to start one container. The agent decides, the shim obeys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerSetup {
    /// Layers of the root file system, topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// Where writes go.
    pub(crate) upper: PathBuf,
    /// The overlay's work folder, on the same file system as `upper`.
    pub(crate) work: PathBuf,
    /// An empty folder over which the root file system is mounted, in the container's own mount namespace.
    pub(crate) attach_at: PathBuf,
    /// Mount the root file system read-only.
    pub(crate) read_only_root: bool,
    /// Program and arguments; never empty.
    pub(crate) args: Vec<String>,
    /// `NAME=value` lines.
    pub(crate) env: Vec<String>,
    /// Working directory; created when missing.
    pub(crate) cwd: String,
    /// Who runs it.
    pub(crate) user: UserSetup,
    /// `/proc`, `/sys`, `/dev` and the like, in order.
    pub(crate) filesystems: Vec<FilesystemSetup>,
    /// Nodes in `/dev`.
    pub(crate) devices: Vec<DeviceSetup>,
    /// Hidden: files by `/dev/null`, folders by an empty tmpfs. Missing ones are skipped.
    pub(crate) masked_paths: Vec<String>,
    /// Mounted read-only. Missing ones are skipped.
    pub(crate) read_only_paths: Vec<String>,
    /// Volumes, in order.
    pub(crate) binds: Vec<BindSetup>,
    /// Capabilities, as a bit set.
    pub(crate) capabilities: u64,
    /// Set `no_new_privs`.
    pub(crate) no_new_privs: bool,
    /// The system call filter: `code << 48 | jt << 40 | jf << 32 | k` per instruction. Empty is none.
    pub(crate) seccomp: Vec<u64>,
    /// Own process table.
    pub(crate) private_pid: bool,
    /// Written to `/proc/<pid>/oom_score_adj`, best effort.
    pub(crate) oom_score_adj: Option<i32>,
    /// Folder of a cgroup2 group in which the process is born.
    pub(crate) cgroup2: Option<PathBuf>,
    /// Further `cgroup.procs` files to write its process id into.
    pub(crate) cgroup_procs: Vec<PathBuf>,
    /// File with an `oom_kill <count>` line.
    pub(crate) oom_events: Option<PathBuf>,
    /// Where the output goes.
    pub(crate) log_path: PathBuf,
    /// The standard input is a pipe that clients may attach to, not `/dev/null`.
    #[serde(default)]
    pub(crate) stdin: bool,
    /// The standard streams are a terminal.
    #[serde(default)]
    pub(crate) terminal: bool,
}

/// A further program in a container that runs. All that is not said here is as for the container's own program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecSetup {
    /// Program and arguments; never empty.
    pub(crate) args: Vec<String>,
    /// `NAME=value` lines that replace those of the container.
    pub(crate) env: Vec<String>,
    /// The standard streams are a terminal, which becomes the process's own.
    pub(crate) terminal: bool,
}

/// Who runs a container, before the image's account files are read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserSetup {
    /// `user[:group]`, names or numbers; empty is root.
    pub(crate) name: String,
    /// Replaces the primary group.
    pub(crate) gid: Option<u32>,
    /// Refuse user 0.
    pub(crate) non_root: bool,
    /// Additional groups.
    pub(crate) groups: Vec<u32>,
    /// Leave out groups that the image's `/etc/group` gives the user.
    pub(crate) strict_groups: bool,
}

/// A file system that is made for the container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FilesystemSetup {
    /// For example `tmpfs`.
    pub(crate) kind: String,
    /// Absolute path in the container.
    pub(crate) target: String,
    /// Mount options; without a value it is a flag.
    pub(crate) options: Vec<(String, Option<String>)>,
    /// `MOUNT_ATTR_*` bits.
    pub(crate) attributes: u32,
}

/// A device node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeviceSetup {
    /// Path below `/dev`.
    pub(crate) path: String,
    /// Block device instead of character device.
    pub(crate) block: bool,
    /// Device number.
    pub(crate) major: u32,
    /// Device number.
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// A file or folder of the node in the container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BindSetup {
    /// Path on the node.
    pub(crate) source: PathBuf,
    /// Absolute path in the container.
    pub(crate) target: PathBuf,
    /// Not writable.
    pub(crate) read_only: bool,
    /// Mounts below the source are not writable either.
    pub(crate) recursive_read_only: bool,
    /// Mounts made on the node appear in the container.
    pub(crate) from_host: bool,
    /// Mounts made in the container appear on the node.
    pub(crate) to_host: bool,
}
