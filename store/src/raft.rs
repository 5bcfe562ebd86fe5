//! Consensus: openraft over our log, our state machine and our connections.
//!
//! Nothing outside this folder and the handle's own modules knows openraft's types.

pub(crate) mod codec;
pub(crate) mod log_storage;
pub(crate) mod network;
pub(crate) mod runtime;
pub(crate) mod server;
pub(crate) mod snapshot;
pub(crate) mod state_machine;
pub(crate) mod type_config;

use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

use crate::config::Timing;

/// The Raft instance of one member.
pub(crate) type Raft = openraft::Raft<type_config::Types, state_machine::Machine>;

/// Entries in one append request, and in one write of the log.
const ENTRIES_PER_REQUEST_MAX: u64 = 512;

/// openraft's settings.
pub(crate) fn config(cluster_id: u64, timing: Timing) -> Result<Config, ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: format!("{cluster_id:016x}"),
        heartbeat_interval: millis(timing.heartbeat),
        // The shorter one is how long a vote may be on its way, the longer one the lease.
        election_timeout_min: millis(timing.election_max).saturating_sub(1),
        election_timeout_max: millis(timing.election_max),
        // `election` decides when to stand.
        enable_elect: false,
        enable_pre_vote: Some(true),
        allow_log_reversion: Some(false),
        // A restarted leader stands for election like everybody else: its state may be behind.
        enable_leader_restore: Some(false),
        max_payload_entries: ENTRIES_PER_REQUEST_MAX,
        // When to checkpoint and what to purge is decided by bytes, which openraft does not count.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    }
    .validate()
}

#[cfg(test)]
mod tests;
