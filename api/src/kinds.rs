//! The table of all kinds that are served as resources of their own.

use crate::kind::Kind;
use crate::{
    apps, authentication, authorization, autoscaling, batch, coordination, core, discovery, extensions, policy, rbac,
};

/// All kinds, sorted by group, version and plural.
pub static KINDS: &[&Kind] = &[
    &core::v1::binding::KIND,
    &core::v1::component_status::KIND,
    &core::v1::config_map::KIND,
    &core::v1::endpoints::KIND,
    &core::v1::event::KIND,
    &core::v1::limit_range::KIND,
    &core::v1::namespace::KIND,
    &core::v1::node::KIND,
    &core::v1::persistent_volume_claim::KIND,
    &core::v1::persistent_volume::KIND,
    &core::v1::pod::KIND,
    &core::v1::pod_template::KIND,
    &core::v1::replication_controller::KIND,
    &core::v1::resource_quota::KIND,
    &core::v1::secret::KIND,
    &core::v1::service_account::KIND,
    &core::v1::service::KIND,
    &apps::v1::controller_revision::KIND,
    &apps::v1::daemon_set::KIND,
    &apps::v1::deployment::KIND,
    &apps::v1::replica_set::KIND,
    &apps::v1::stateful_set::KIND,
    &apps::v1beta1::deployment::KIND,
    &apps::v1beta1::stateful_set::KIND,
    &apps::v1beta2::daemon_set::KIND,
    &apps::v1beta2::deployment::KIND,
    &apps::v1beta2::replica_set::KIND,
    &apps::v1beta2::stateful_set::KIND,
    &authentication::v1::self_subject_review::KIND,
    &authentication::v1::token_review::KIND,
    &authorization::v1::local_subject_access_review::KIND,
    &authorization::v1::self_subject_access_review::KIND,
    &authorization::v1::self_subject_rules_review::KIND,
    &authorization::v1::subject_access_review::KIND,
    &autoscaling::v1::horizontal_pod_autoscaler::KIND,
    &autoscaling::v2::horizontal_pod_autoscaler::KIND,
    &batch::v1::cron_job::KIND,
    &batch::v1::job::KIND,
    &batch::v1beta1::cron_job::KIND,
    &coordination::v1::lease::KIND,
    &discovery::v1::endpoint_slice::KIND,
    &extensions::v1beta1::daemon_set::KIND,
    &extensions::v1beta1::deployment::KIND,
    &extensions::v1beta1::replica_set::KIND,
    &policy::v1::pod_disruption_budget::KIND,
    &rbac::v1::cluster_role_binding::KIND,
    &rbac::v1::cluster_role::KIND,
    &rbac::v1::role_binding::KIND,
    &rbac::v1::role::KIND,
];

#[cfg(test)]
mod rules;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod workloads;
