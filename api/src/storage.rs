//! The group `storage.k8s.io`: where volumes come from.

pub mod v1;
pub mod v1beta1;
