//! Version 1 of the group.

pub mod binding;
pub mod config_map;
pub mod endpoints;
pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod secret;
pub mod service;
pub mod service_account;

pub(crate) mod pod_spec;
pub(crate) mod pod_template;
