//! Version 1 of the group.

pub mod horizontal_pod_autoscaler;
pub mod scale;
