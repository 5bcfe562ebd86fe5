//! Version 1 of the group.

pub mod flow_schema;
pub mod priority_level_configuration;

mod conditions;
mod fixed;
