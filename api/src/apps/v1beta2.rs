//! The second beta of version 1, as old manifests write it. Its defaults are those of version 1.

pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;
