//! What a store needs to start.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// How a member begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Creates a cluster of one member in an empty directory.
    Init,
    /// Waits, in an empty directory, to be contacted by the cluster that has added it.
    Join,
    /// Goes on from its directory alone.
    Restart,
}

/// Certificates as PEM, all of the store's own authority.
#[derive(Clone)]
pub struct Tls {
    /// The authority, or several during a rotation.
    pub ca_pem: String,
    /// This member's certificate chain.
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
    /// What time it is, for whether a certificate is good.
    pub clock: fn() -> SystemTime,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// The pace of the group. A voter stands for election when it has not heard of a leader for `election_max`, or longer if the
/// leader was heard irregularly; it tries again after a random time between the two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats; at least three round trips.
    pub heartbeat: Duration,
    /// At least three times the larger of heartbeat and the 99th percentile of a flush.
    pub election_min: Duration,
    /// Also the leader's lease.
    pub election_max: Duration,
    /// A voter that the leader has not heard of for so long is lost: a learner in sync takes its place.
    pub voter_lost: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { heartbeat: ms(40), election_min: ms(100), election_max: ms(200), voter_lost: Duration::from_secs(600) }
    }
}

/// How much is kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A checkpoint is written after so much log at the latest, so that a restart replays little.
    pub checkpoint_bytes: u64,
    /// With so much log, or half the size of the state if that is more, a snapshot file takes its place.
    pub log_bytes_max: u64,
    /// So much log stays all the same, for members that are a little behind.
    pub log_bytes_keep: u64,
    /// With so much state, old versions included, only what frees space is let through.
    pub quota_bytes: u64,
    /// With less room on its disk than this, the same holds while any member says so.
    pub disk_free_min_bytes: u64,
    /// The first file of the log has this length; each next one twice as much, up to `segment_bytes_max`.
    pub segment_bytes_first: u64,
    /// A file of the log is this long at most, unless one batch needs more.
    pub segment_bytes_max: u64,
    /// Recent entries of the log kept in memory, for other members; older ones are read from the disk.
    pub log_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 64 << 20,
            log_bytes_max: 256 << 20,
            log_bytes_keep: 32 << 20,
            quota_bytes: 8 << 30,
            disk_free_min_bytes: 64 << 20,
            segment_bytes_first: 4 << 20,
            segment_bytes_max: 64 << 20,
            log_cache_bytes: 32 << 20,
        }
    }
}

/// One member.
#[derive(Clone, Debug)]
pub struct Config {
    /// Holds everything the member keeps; created when missing.
    pub dir: PathBuf,
    /// Drawn once per cluster.
    pub cluster_id: u64,
    /// Drawn once per member, never used again for another.
    pub member_id: u64,
    /// For people.
    pub name: String,
    /// Where members listen to each other.
    pub peer_listen: SocketAddr,
    /// Where etcd clients are served.
    pub client_listen: SocketAddr,
    /// `https://host:port` at which other members reach this one.
    pub peer_url: String,
    /// `https://host:port` at which clients reach this one.
    pub client_url: String,
    /// Certificates of the store's authority.
    pub tls: Tls,
    /// How the member begins.
    pub start: Start,
    /// Members by their id, and at which URLs members reach them, as whoever admitted this one told: whom it asks whether it
    /// still belongs to the cluster when nobody has told it anything.
    pub introduced: BTreeMap<u64, String>,
    /// The pace of the group.
    pub timing: Timing,
    /// How much of the log is kept.
    pub limits: Limits,
}
