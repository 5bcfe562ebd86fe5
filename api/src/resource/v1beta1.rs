//! Version 1, first beta of the group.

pub mod device_class;
mod requests;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_slice;
