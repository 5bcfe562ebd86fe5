//! The table of all kinds that are served as resources of their own.

use crate::kind::Kind;
use crate::{
    admissionregistration, apiregistration, apps, authentication, authorization, certificates, coordination, core,
    discovery, events, extensions, flowcontrol, networking, node_group, rbac, resource, scheduling, storage,
    storagemigration,
};

/// All kinds, sorted by group, version and plural.
pub static KINDS: &[&Kind] = &[
    &core::v1::binding::KIND,
    &core::v1::config_map::KIND,
    &core::v1::endpoints::KIND,
    &core::v1::event::KIND,
    &core::v1::namespace::KIND,
    &core::v1::node::KIND,
    &core::v1::pod::KIND,
    &core::v1::secret::KIND,
    &core::v1::service_account::KIND,
    &core::v1::service::KIND,
    &admissionregistration::v1::mutating_admission_policy::KIND,
    &admissionregistration::v1::mutating_admission_policy_binding::KIND,
    &admissionregistration::v1::mutating_webhook_configuration::KIND,
    &admissionregistration::v1::validating_admission_policy::KIND,
    &admissionregistration::v1::validating_admission_policy_binding::KIND,
    &admissionregistration::v1::validating_webhook_configuration::KIND,
    &apiregistration::v1::api_service::KIND,
    &apps::v1::deployment::KIND,
    &apps::v1::replica_set::KIND,
    &authentication::v1::self_subject_review::KIND,
    &authentication::v1::token_review::KIND,
    &authorization::v1::local_subject_access_review::KIND,
    &authorization::v1::self_subject_access_review::KIND,
    &authorization::v1::self_subject_rules_review::KIND,
    &authorization::v1::subject_access_review::KIND,
    &certificates::v1::certificate_signing_request::KIND,
    &certificates::v1::cluster_trust_bundle::KIND,
    &certificates::v1::pod_certificate_request::KIND,
    &coordination::v1::lease::KIND,
    &discovery::v1::endpoint_slice::KIND,
    &events::v1::event::KIND,
    &extensions::v1beta1::deployment::KIND,
    &flowcontrol::v1::flow_schema::KIND,
    &flowcontrol::v1::priority_level_configuration::KIND,
    &networking::v1::ingress_class::KIND,
    &networking::v1::ingress::KIND,
    &networking::v1::ip_address::KIND,
    &networking::v1::network_policy::KIND,
    &networking::v1::service_cidr::KIND,
    &node_group::v1::runtime_class::KIND,
    &rbac::v1::cluster_role_binding::KIND,
    &rbac::v1::cluster_role::KIND,
    &rbac::v1::role_binding::KIND,
    &rbac::v1::role::KIND,
    &resource::v1::device_class::KIND,
    &resource::v1::device_taint_rule::KIND,
    &resource::v1::resource_claim::KIND,
    &resource::v1::resource_claim_template::KIND,
    &resource::v1::resource_slice::KIND,
    &scheduling::v1::priority_class::KIND,
    &storage::v1::csi_driver::KIND,
    &storage::v1::csi_node::KIND,
    &storage::v1::csi_storage_capacity::KIND,
    &storage::v1::storage_class::KIND,
    &storage::v1::volume_attachment::KIND,
    &storage::v1::volume_attributes_class::KIND,
    &storagemigration::v1::storage_version_migration::KIND,
];

#[cfg(test)]
mod rules;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
