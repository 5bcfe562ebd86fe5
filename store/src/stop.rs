//! Taking a member apart, so that nobody misses it.
//!
//! ```text
//! resign       another member leads; this one stands for election no more, and takes leadership from nobody
//! checkpoint   a restart has little of the log to replay
//! last call    clients go elsewhere; what they have asked is answered
//! halt         the rest, in the order in which the parts depend on each other
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Error, inner::Inner};

/// How long a leader that stops waits for somebody to follow it.
const HAND_OVER: Duration = Duration::from_secs(1);
/// A successor that has not taken leadership by then does not: another one is asked. It takes two round trips, two flushes on
/// each of two members, and what of the log is still on its way.
const SUCCESSOR_PATIENCE: Duration = Duration::from_millis(250);
/// How long clients have for their last answers. Watches have no last answer: they end with this.
const LAST_CALL: Duration = Duration::from_millis(300);
/// Between two looks at whether requests are still under way.
const LOOK: Duration = Duration::from_millis(2);
/// How long a stopping member waits for its own tasks.
const DRAIN: Duration = Duration::from_secs(5);

impl Inner {
    /// Hands leadership over, if this member has it and somebody can take it.
    pub(crate) async fn resign(&self) {
        self.election.retire();
        let mut leadership = self.leadership.clone();
        let leads = |leader: Option<u64>| leader == Some(self.id());
        if !leads(leadership.borrow().leader) {
            return;
        }
        let deadline = Instant::now() + HAND_OVER;
        let mut asked = BTreeSet::new();
        while let Some(successor) = self.best_successor_but(&asked).filter(|voter| self.is_alive(*voter)) {
            asked.insert(successor);
            if self.raft.trigger().transfer_leader(successor).await.is_err() {
                return;
            }
            let moved = leadership.wait_for(|now| now.leader.is_some_and(|leader| !leads(Some(leader))));
            let patience = deadline.min(Instant::now() + SUCCESSOR_PATIENCE);
            if tokio::time::timeout_at(patience, moved).await.is_ok() {
                tracing::info!(to = ?self.leadership.borrow().leader, "leadership is handed over");
                return;
            }
            tracing::warn!(successor, "does not take leadership over in time");
        }
    }

    /// Stops; what a restart would replay is written first.
    pub(crate) async fn retire(&self) {
        self.resign().await;
        if !self.space.is_low()
            && let Err(error) = self.persistence.checkpoint(self.state.view()).await
        {
            tracing::warn!(%error, "the last checkpoint failed; a restart will replay more of the log");
        }
        self.last_call.cancel();
        let answered = async {
            while self.proposals.under_way() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(LAST_CALL, answered).await.is_err() {
            tracing::info!(left = self.proposals.under_way(), "requests are left without an answer");
        }
        self.halt().await;
    }

    /// Ends everything, in the order in which the parts depend on each other.
    pub(crate) async fn halt(&self) {
        self.shutdown.cancel();
        self.proposals.close();
        self.state.close();
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "consensus did not stop cleanly");
        }
        self.peers.set_addresses(BTreeMap::new());
        self.wal.close().await;
        self.persistence.close().await;
        let mut servers = std::mem::take(&mut *self.servers.lock());
        self.tasks.close();
        let drain = async {
            while servers.join_next().await.is_some() {}
            self.tasks.wait().await;
        };
        if tokio::time::timeout(DRAIN, drain).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }

    /// Refuses leadership while this member stops.
    pub(crate) fn accepts_leadership(&self) -> Result<(), Error> {
        if self.election.is_retired() { Err(Error::Stopped) } else { Ok(()) }
    }
}
