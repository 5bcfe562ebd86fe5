//! The group `batch`: pods that end.

pub mod v1;
pub mod v1beta1;
