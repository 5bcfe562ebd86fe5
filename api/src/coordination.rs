//! The group `coordination.k8s.io`: who holds what, and who is alive.

pub mod v1;
pub mod v1beta1;
