//! The container runtime: pods as sets of namespaces, containers as processes in them.
//!
//! One small static program per pod, the shim, is the parent of the pod's containers, writes their logs and records
//! how they end; so an agent may stop, crash or be upgraded, and pods do not notice.

mod error;
mod spec;
mod status;

pub use error::{Error, StartError, StartReason};
pub use spec::{ContainerSpec, Mount, Propagation, QosClass, Resources, SandboxSpec, Seccomp, Security};
pub use status::{ContainerState, ContainerStatus, Event, Exit, SandboxState, SandboxStatus, Stats};
