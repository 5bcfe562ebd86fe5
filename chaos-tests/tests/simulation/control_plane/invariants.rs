//! What must hold of every run of the control plane, whatever was done to it. One file each.

mod acknowledged_writes;
mod bound_once;
mod calm_requests_are_answered;
mod no_surplus;
mod one_acting_leader;
mod one_uid;
mod refused_writes;
mod resource_versions;
mod rollout_budget;
mod service_addresses;
mod services_lead_to_ready_pods;
mod stateful_pods_are_one_per_ordinal;
mod watches;

use std::time::Duration;

use tokio::time::Instant;

use super::{journal::Call, lives::Life, routes, tale::Tale, watcher::Heard};

/// All that was seen of a run.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) calls: Vec<Call>,
    pub(crate) tale: Tale,
    /// By watcher: what it watched, as keys begin in the store, and what it heard.
    pub(crate) heard: Vec<(&'static str, Vec<Heard>)>,
    /// What lived on the nodes, in the order of the beginnings.
    pub(crate) lives: Vec<Life>,
    /// Where the nodes' connections went.
    pub(crate) routes: routes::History,
    /// When the run began, and how long it had gone on when users worked again with nothing wrong any more.
    pub(crate) started: Instant,
    pub(crate) calm: Duration,
}

/// An invariant: its name, and what breaks it.
pub(crate) type Invariant = (&'static str, fn(&Evidence) -> Result<(), String>);

/// All of them.
pub(crate) const ALL: &[Invariant] = &[
    ("acknowledged writes are there", acknowledged_writes::check),
    ("what was refused was not done", refused_writes::check),
    ("resource versions grow for each client", resource_versions::check),
    ("watches are ordered, unique, complete and honest", watches::check),
    ("a name has one uid at a time", one_uid::check),
    ("a pod is bound once", bound_once::check),
    ("one leader acts", one_acting_leader::check),
    ("a replica set has no more pods than it asked for", no_surplus::check),
    ("a rolling update keeps its budget", rollout_budget::check),
    ("a pod's name has one container at a time", stateful_pods_are_one_per_ordinal::check),
    ("an address belongs to one Service", service_addresses::check),
    ("Services lead to ready pods", services_lead_to_ready_pods::check),
    ("requests are answered while nothing is wrong", calm_requests_are_answered::check),
];

impl Evidence {
    /// Of a run in which nothing happened.
    fn nothing(started: Instant) -> Self {
        let (calls, tale, heard, lives, routes) = Default::default();
        Self { calls, tale, heard, lives, routes, started, calm: Duration::ZERO }
    }
}
