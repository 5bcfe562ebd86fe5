//! Version 1 of the group.

pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;

mod binding;
mod client_config;
mod match_resources;
mod policy;
mod webhook;
