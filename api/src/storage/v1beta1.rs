//! Version 1, first beta of the group.

pub mod volume_attributes_class;
