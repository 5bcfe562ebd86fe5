//! Version 1, first beta of the group.

pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
