//! The group `authentication.k8s.io`: who somebody is.

pub mod v1;
