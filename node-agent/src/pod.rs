//! Pods on this node: one task per pod that compares what should be with what is.
//!
//! ```text
//! reflector ─┐                       ┌─ plan     what to do (pure)
//! runtime  ──┼─> manager ─> worker ──┼─ status   what to say (pure)
//! probes   ──┘                       └─ executes: network, volumes, images, runtime, API
//! ```
//!
//! Everything is level-triggered: a worker looks at the whole pod and the whole sandbox each time it is woken, so a
//! missed event or a restart of the agent changes nothing. What a worker remembers between rounds (back-offs, signals
//! sent) may be lost without harm.

pub(crate) mod context;
pub(crate) mod environment;
pub(crate) mod events;
pub(crate) mod field_ref;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod host_files;
pub(crate) mod lifecycle;
pub(crate) mod manager;
pub(crate) mod memory;
pub(crate) mod plan;
mod probes;
pub(crate) mod resources;
pub(crate) mod restart_backoff;
pub(crate) mod runs;
pub(crate) mod security;
pub(crate) mod service_environment;
pub(crate) mod status;
mod steady;
pub(crate) mod table;
mod worker;

use k8s_openapi::api::core::v1::{Container, Pod};

/// The pod asks for something this node cannot give; shown as `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(pub(crate) String);

/// Whether an init container keeps running beside the others.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The container of that name, regular or init.
pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    init_containers(pod).iter().chain(containers(pod)).find(|container| container.name == name)
}

pub(crate) fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers)
}

pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn is_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
}
