//! Whether there is a leader, for clients that want to know.
//!
//! A client on a member that lost the others would wait for news that cannot come; told so, it turns to another member.
//! An election is no reason: it is over long before.

use std::time::Duration;

use openraft::{Instant as _, rt::watch::WatchReceiver as _};
use tokio::time::{Interval, MissedTickBehavior};
use tonic::{Status, metadata::MetadataMap};

use crate::{Error, Store, inner::Inner};

/// Three of etcd's election timeouts.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Inner {
    /// Whether this member has been without a leader for long: it heard of none, or leads and nobody follows. The leader
    /// that it last knew may be gone.
    pub(super) fn lacks_leader(&self) -> bool {
        let unknown = self.election.silence();
        let silence = if self.leadership.borrow().leader != Some(self.id()) {
            unknown
        } else if self.raft.voter_ids().count() == 1 {
            Duration::ZERO
        } else {
            let metrics = self.raft.data_metrics();
            let acknowledged = metrics.borrow_watched().last_quorum_acked;
            acknowledged.map_or(unknown, |at| at.elapsed())
        };
        silence > PATIENCE
    }
}

/// Ends one stream when there is no leader, if its client has asked for that.
pub(super) struct LeaderRequired {
    store: Option<Store>,
    looks: Interval,
}

impl LeaderRequired {
    /// As the metadata of the stream have it.
    pub(super) fn new(store: &Store, metadata: &MetadataMap) -> Self {
        let asked = metadata.get("hasleader").is_some_and(|value| value == "true");
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { store: asked.then(|| store.clone()), looks }
    }

    /// Returns once there has been no leader for long. Nothing is forgotten when the call is given up and made again.
    pub(super) async fn lost(&mut self) -> Status {
        let Some(store) = &self.store else { return std::future::pending().await };
        loop {
            self.looks.tick().await;
            if store.inner.lacks_leader() {
                return Error::NoLeader.into();
            }
        }
    }
}
