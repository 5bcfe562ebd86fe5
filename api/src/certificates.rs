//! The group `certificates.k8s.io`: certificates that are asked for, and authorities that are trusted.

pub mod v1;
pub mod v1beta1;
