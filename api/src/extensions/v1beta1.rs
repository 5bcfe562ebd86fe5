//! Version 1 beta 1 of the group.

pub mod deployment;
