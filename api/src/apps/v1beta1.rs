//! The first beta of version 1, as old manifests write it.

pub mod deployment;
pub mod stateful_set;
