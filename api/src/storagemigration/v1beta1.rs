//! Version 1, first beta of the group.

pub mod storage_version_migration;
