//! A lost connection to the leader is a hint that it is gone.
//!
//! Without it a follower waits for the leader's lease and then a random time, so that two do not campaign at once. With it the
//! order of the members decides who goes first, and only the lease is waited for. A hint that is wrong changes nothing: while
//! a quorum hears of the leader, no vote is granted and no term is raised.

use std::{sync::Weak, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{inner::Inner, tls::Subject};

/// While the lease runs, openraft refuses an election at no cost: this is how often it is asked.
const ATTEMPT_EVERY: Duration = Duration::from_millis(15);
/// The next in order waits this long for the one before, after the longest time that the lease can still run.
const HEAD_START: Duration = Duration::from_millis(40);

/// Watches connections end.
pub(crate) async fn follow(store: Weak<Inner>, mut closed: mpsc::Receiver<Subject>) {
    while let Some(subject) = closed.recv().await {
        let Some(store) = store.upgrade() else { return };
        if let Subject::Member(gone) = subject
            && store.leadership.borrow().leader == Some(gone)
        {
            campaign(&store, gone).await;
        }
    }
}

async fn campaign(store: &Inner, gone: u64) {
    let voters: Vec<u64> = store.raft.voter_ids().filter(|voter| *voter != gone).collect();
    let Some(rank) = voters.iter().position(|voter| *voter == store.id()) else { return };
    let timing = store.config.timing;
    let wait = match u32::try_from(rank).unwrap_or(u32::MAX) {
        0 => Duration::ZERO,
        rank => timing.election_max + HEAD_START * rank,
    };
    let start = Instant::now() + wait;
    // Beyond this the usual timeout has fired anyway.
    let end = start + timing.election_max * 2;
    let mut leadership = store.leadership.clone();
    let mut attempts = tokio::time::interval_at(start, ATTEMPT_EVERY);
    while Instant::now() < end {
        tokio::select! {
            _ = leadership.wait_for(|now| now.leader != Some(gone)) => return,
            () = store.shutdown.cancelled() => return,
            _ = attempts.tick() => {}
        }
        if let Err(error) = store.raft.trigger().elect(true).await {
            tracing::debug!(%error, "cannot stand for election");
            return;
        }
    }
}
