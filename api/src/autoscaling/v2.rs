//! Version 2 of the group.

pub mod horizontal_pod_autoscaler;
