//! Version 1 of the group.

pub mod runtime_class;
