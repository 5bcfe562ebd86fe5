//! The group `autoscaling`: how many there should be.

pub mod v1;
pub mod v2;
