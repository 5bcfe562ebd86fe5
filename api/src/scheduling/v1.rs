//! Version 1 of the group.

pub mod priority_class;
