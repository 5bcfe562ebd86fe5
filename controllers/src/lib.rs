//! Controllers: one module per upstream controller.
//!
//! **`reconcile` is synchronous and pure: a view goes in, a [`plan::Plan`] comes out. Only [`runtime`] awaits.**
//! Names, numbers and reasons are all in the plan, and so is the word on why nothing happens (conditions, Events).
//!
//! | controller | wakes on | writes |
//! |---|---|---|
//! | [`cluster_role_aggregation`] | cluster roles | the rules of those that select others |
//! | [`cron_job`] | cron jobs, their jobs | jobs, cron job status |
//! | [`daemon_set`] | daemon sets, their pods and revisions, nodes | pods, revisions, daemon set status |
//! | [`deployment`] | deployments, their replica sets, pods | replica sets, deployment status |
//! | [`endpoint_slice`] | services, their pods, slices, the zones of nodes | endpoint slices |
//! | [`endpoints`] | services, their pods, endpoints | endpoints |
//! | [`garbage_collector`] | every object with an owner, every deletion | deletes dependents, takes off finalizers |
//! | [`job`] | jobs, their pods | pods, job status |
//! | [`namespace`] | namespaces, deletions inside a terminating one | deletes contents, finalizes |
//! | [`node_ipam`] | nodes | `spec.podCIDR(s)` |
//! | [`node_lifecycle`] | nodes, their leases, their pods | conditions, taints, evictions |
//! | [`pod_gc`] | nodes, pods | deletes pods of nodes that are gone |
//! | [`pv_protection`] | volumes | the finalizer of those that are bound |
//! | [`pvc_protection`] | claims, pods on their way out | the finalizer of those that pods use |
//! | [`replica_set`] | replica sets, pods | pods, replica set status |
//! | [`root_ca_publisher`] | namespaces, config maps | `kube-root-ca.crt` |
//! | [`service_account`] | namespaces, service accounts | `default` |
//! | [`stateful_set`] | stateful sets, their pods, revisions and claims | pods, claims, revisions, stateful set status |
//! | [`ttl_after_finished`] | jobs | deletes those that ended long enough ago |
//! | [`vac_protection`] | classes of volume attributes, claims, volumes | the finalizer of those that are used |
//!
//! They act only on the master that leads, and every write carries the term it acts under; a deposed leader's writes are
//! refused by the store. There is no lock, no lease and no clock in that.

pub mod caches;
pub mod cidr;
pub mod cluster_role_aggregation;
mod controller_revision;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod endpoint_slice;
pub mod endpoints;
pub mod garbage_collector;
pub mod job;
mod meta;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod plan;
mod pod_control;
pub mod pod_digest;
pub mod pod_gc;
mod protection;
pub mod pv_protection;
pub mod pvc_protection;
pub mod replica_set;
pub mod root_ca_publisher;
pub mod runtime;
pub mod service_account;
pub mod stateful_set;
#[cfg(test)]
mod testing;
pub mod ttl_after_finished;
pub mod vac_protection;

use client::Identity;
pub use runtime::{ClientFactory, Config, Controller, Settings, run};

/// Who all controllers are.
pub const IDENTITY: Identity =
    Identity { user: "system:kube-controller-manager", component: "kontiki-controller-manager" };

/// Every controller, by name.
pub static ALL: &[&Controller] = &[
    &cluster_role_aggregation::CONTROLLER,
    &cron_job::CONTROLLER,
    &daemon_set::CONTROLLER,
    &deployment::CONTROLLER,
    &endpoint_slice::CONTROLLER,
    &endpoints::CONTROLLER,
    &garbage_collector::CONTROLLER,
    &job::CONTROLLER,
    &namespace::CONTROLLER,
    &node_ipam::CONTROLLER,
    &node_lifecycle::CONTROLLER,
    &pod_gc::CONTROLLER,
    &pv_protection::CONTROLLER,
    &pvc_protection::CONTROLLER,
    &replica_set::CONTROLLER,
    &root_ca_publisher::CONTROLLER,
    &service_account::CONTROLLER,
    &stateful_set::CONTROLLER,
    &ttl_after_finished::CONTROLLER,
    &vac_protection::CONTROLLER,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        let names: Vec<_> = ALL.iter().map(|controller| controller.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        let documented = include_str!("lib.rs").lines().filter(|line| line.starts_with("//! | [`")).count();
        assert_eq!(documented, ALL.len());
    }
}
