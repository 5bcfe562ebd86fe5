//! Why the runtime could not do what was asked.

use std::io;

/// An error of [`super::Runtime`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such pod.
    #[error("no pod {0} on this node")]
    PodNotFound(String),
    /// No such container.
    #[error("no container {0} on this node")]
    ContainerNotFound(String),
    /// The pod has a sandbox already.
    #[error("pod {0} has a sandbox already: remove it first")]
    PodExists(String),
    /// The container runs, so it cannot be removed.
    #[error("container {0} is running: stop it first")]
    Running(String),
    /// The specification cannot work.
    #[error("{0}")]
    Invalid(String),
    /// The container was set up, but its program could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The pod's shim does not answer.
    #[error("the shim of pod {0} is gone: remove the sandbox and make a new one")]
    ShimLost(String),
    /// A control group could not be made, changed or removed.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::Error),
    /// The operating system refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what: format!("{what}: {source}"), source }
    }

    /// The reason that Kubernetes shows for a container that could not be started.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Start(error) => error.reason.as_str(),
            Self::Invalid(_) => StartReason::Config.as_str(),
            Self::PodNotFound(_)
            | Self::ContainerNotFound(_)
            | Self::PodExists(_)
            | Self::Running(_)
            | Self::ShimLost(_)
            | Self::Cgroup(_)
            | Self::Io { .. } => StartReason::Create.as_str(),
        }
    }
}

/// Why a container did not start; the text is meant for the pod's status and events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// In which phase it failed.
    pub reason: StartReason,
    /// For example `exec: "foo": executable file not found in $PATH`.
    pub message: String,
}

/// The phase in which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartReason {
    /// The specification contradicts the image: `CreateContainerConfigError`.
    Config,
    /// Mounts, namespaces, control groups: `CreateContainerError`.
    Create,
    /// The program cannot be executed: `RunContainerError`.
    Run,
}

impl StartReason {
    /// The reason as the kubelet spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "CreateContainerConfigError",
            Self::Create => "CreateContainerError",
            Self::Run => "RunContainerError",
        }
    }
}
