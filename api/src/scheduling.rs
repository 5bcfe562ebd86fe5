//! The group `scheduling.k8s.io`: which pods come first.

pub mod v1;
pub mod v1beta1;
