//! The group `storagemigration.k8s.io`: objects are written anew in the form in which they are stored now.

pub mod v1;
pub mod v1beta1;
