//! Version 1 of the group.

pub mod device_class;
pub mod device_taint_rule;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_slice;

mod configuration;
mod device;
pub(super) mod device_claim;
