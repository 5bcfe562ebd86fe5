//! When a member's time in its group is over, and how it learns of that.
//!
//! A removed member gets no message: whoever removed it stops talking to it. So a member that hears of no leader, or does
//! not find itself in its own log's membership, asks the others; a leader's word, confirmed by a quorum, counts. One that
//! nobody has told anything yet asks those that were named to it when it joined. A member of a group that was replaced by
//! restore or recovery meets the new group's certificates.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    inner::Inner,
    membership::{Answer, Request},
};

/// How often the member looks.
const TICK: Duration = Duration::from_millis(250);
/// When no leader was heard for this long it asks.
const LEADERLESS_MAX: Duration = Duration::from_secs(2);
/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Why a member belongs to its group no more. Its data is of no use to the group then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It was removed.
    Removed,
    /// Its group was replaced by another one, of this cluster id.
    Succeeded(u64),
    /// Its state was found to differ from the leader's.
    Corrupt,
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Removed => f.write_str("it was removed from the cluster"),
            Self::Succeeded(by) => {
                write!(f, "its cluster was replaced by cluster {by:016x}, by a restore or a recovery")
            }
            Self::Corrupt => f.write_str("its state differs from the leader's"),
        }
    }
}

/// Looks until the member's time is over.
pub(crate) async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let Some(successor) = store.upgrade().map(|store| store.world.network.successor()) else { return };
    let mut asked_at: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        let by = successor.as_ref().and_then(|successor| *successor.borrow());
        if let Some(by) = by {
            return store.depart(Departure::Succeeded(by)).await;
        }
        let now = Instant::now();
        let nodes = store.nodes();
        let belongs = nodes.contains_key(&store.id());
        let leads = store.leadership.borrow().leader == Some(store.id());
        let left_alone = !leads && store.election.silence() > LEADERLESS_MAX;
        let is_told = !nodes.is_empty();
        let in_doubt = left_alone || (is_told && !belongs);
        if !in_doubt || asked_at.is_some_and(|at| now.duration_since(at) < ASK_EVERY) {
            continue;
        }
        asked_at = Some(now);
        if is_removed(&store).await {
            return store.depart(Departure::Removed).await;
        }
    }
}

async fn is_removed(store: &Arc<Inner>) -> bool {
    let request = Request::Belongs { id: store.id() };
    let others: BTreeSet<u64> = store.nodes().into_keys().chain(store.peers.introduced()).collect();
    for id in others.into_iter().filter(|id| *id != store.id()) {
        match store.ask_manage(id, &request).await {
            Some(Answer::Done { number }) => return number == 0,
            Some(Answer::NotLeader | Answer::Refused { .. }) | None => {}
        }
    }
    false
}

impl Inner {
    /// Ends the member: it neither answers nor votes any more.
    pub(crate) async fn depart(&self, why: Departure) {
        tracing::error!(member = format!("{:016x}", self.id()), %why, "this member stops");
        self.departure.send_replace(Some(why));
        self.shutdown.cancel();
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "consensus did not stop cleanly");
        }
    }
}
