//! Version 1 of the group.

pub mod eviction;
pub mod pod_disruption_budget;
