//! Version 1 of the group.

pub mod storage_version_migration;
