//! The group `apiextensions.k8s.io`: kinds that users define.

pub mod v1;
