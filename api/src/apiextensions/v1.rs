//! Version 1 of the group.

pub mod custom_resource_definition;
