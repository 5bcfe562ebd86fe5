//! The group `resource.k8s.io`: devices of nodes, and who uses them.
//!
//! CEL expressions of selectors are only bounded in length: whether they can be read is not checked.

pub mod v1;
pub mod v1beta1;
pub mod v1beta2;
