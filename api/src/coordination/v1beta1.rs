//! Version 1, first beta of the group.

pub mod lease_candidate;
