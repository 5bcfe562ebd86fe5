//! Version 1 of the group.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

mod workload;

pub(crate) use workload::{check_count_or_percent, select_by_template};
