//! The group `apps`: controllers of pods.

pub mod v1;
