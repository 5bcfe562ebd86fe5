//! The group `discovery.k8s.io`: what stands behind Services.

pub mod v1;
