//! Version 1 of the group.

pub mod certificate_signing_request;
pub mod cluster_trust_bundle;
pub mod pod_certificate_request;

mod pem;
mod signer_name;
