//! Version 1 of the group.

pub mod deployment;
pub mod replica_set;

mod workload;

pub(crate) use workload::SCALE;
