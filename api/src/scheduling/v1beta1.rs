//! Version 1, first beta of the group.

pub mod pod_group;
mod template;
pub mod workload;
