//! Version 1, first beta of the group.

pub mod cluster_trust_bundle;
pub mod pod_certificate_request;
