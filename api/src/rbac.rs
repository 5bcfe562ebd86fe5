//! The group `rbac.authorization.k8s.io`: who may do what.

pub mod v1;
