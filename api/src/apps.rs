//! The group `apps`: controllers of pods.

pub mod v1;
pub mod v1beta1;
pub mod v1beta2;
