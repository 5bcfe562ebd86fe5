//! The group `authorization.k8s.io`: whether somebody may do something.

pub mod v1;
