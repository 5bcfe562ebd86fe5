//! The group `batch`: pods that end.

pub mod v1;
