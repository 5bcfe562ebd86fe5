//! What a member says about itself.

use std::time::Duration;

use openraft::rt::watch::WatchReceiver as _;

use crate::inner::Inner;

/// The state of one member.
#[derive(Clone, Debug)]
pub struct Status {
    /// The version of this software.
    pub version: &'static str,
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: u64,
    /// The term it is in.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// The last entry of its log.
    pub last_index: u64,
    /// The last entry it knows to be committed.
    pub committed_index: u64,
    /// The last entry it has applied.
    pub applied_index: u64,
    /// The revision its readers see.
    pub revision: i64,
    /// Bytes of keys and values, old versions included.
    pub state_bytes: u64,
    /// Bytes that the checkpoint takes on the disk.
    pub disk_bytes: u64,
    /// Bytes of log not purged.
    pub log_bytes: u64,
    /// The 99th percentile of the last flushes of the log.
    pub fsync_p99: Duration,
    /// How long the flush of the log that is under way has taken so far; zero when there is none.
    pub fsync_pending: Duration,
    /// It has no vote (yet).
    pub learner: bool,
    /// A change of the voters is under way: until it ends, both the old and the new ones must agree to everything.
    pub voters_changing: bool,
    /// A hash check found its state to differ from the leader's.
    pub corrupt: bool,
}

impl Inner {
    pub(crate) fn status(&self) -> Status {
        let leadership = *self.leadership.borrow();
        let metrics = self.raft.data_metrics();
        let (last_index, committed_index) = {
            let data = metrics.borrow_watched();
            let index = |id: Option<crate::raft::type_config::LogId>| id.map_or(0, |id| id.index);
            (index(data.last_log), index(data.local_committed))
        };
        let view = self.state.view();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            cluster_id: self.config.cluster_id,
            member_id: self.id(),
            term: leadership.term,
            leader: leadership.leader,
            last_index,
            committed_index,
            applied_index: self.applied.last().index,
            revision: view.revision(),
            state_bytes: view.bytes(),
            disk_bytes: self.persistence.size_on_disk(),
            log_bytes: self.wal.retained_bytes(),
            fsync_p99: self.wal.fsync_p99(),
            fsync_pending: self.wal.fsync_pending(),
            learner: !self.raft.voter_ids().any(|voter| voter == self.id()),
            voters_changing: self.voters_changing(),
            corrupt: self.state.is_corrupt(),
        }
    }
}
