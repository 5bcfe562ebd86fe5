//! The beta of version 1, as old manifests write it.

pub mod cron_job;
