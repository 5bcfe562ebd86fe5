//! The beta of version 1, as old manifests write it.

pub mod daemon_set;
pub mod deployment;
pub mod ingress;
pub mod replica_set;
