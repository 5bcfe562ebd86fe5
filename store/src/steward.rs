//! What the leader looks after, beyond the log: leases that ran out, learners that caught up, a disk that stalls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use openraft::{Instant as _, rt::watch::WatchReceiver as _};
use proto::{etcdserverpb::LeaseRevokeRequest, raftpb::command};
use tokio::{task::JoinSet, time::Instant};

use crate::{Error, Proposal, inner::Inner, lease::LeaseClock, oversight::Oversight};

/// How often the leader looks. A lease lives this much longer at most.
const TICK: Duration = Duration::from_millis(100);
/// Leases revoked at once, so that a mass expiry does not crowd out everybody else's requests.
const REVOCATIONS_MAX: usize = 64;
/// A change of the voters takes two entries of the log; one that takes longer was left by its leader.
const UNFINISHED_FOR: Duration = Duration::from_secs(1);
/// When a revocation failed.
const REVOKE_AGAIN: Duration = Duration::from_secs(2);
/// A learner must have been in sync this long before it gets a vote.
const IN_SYNC_FOR: Duration = Duration::from_secs(1);
/// A flush that takes so many times longer than nearly all others stalls.
const STALL_FACTOR: u32 = 4;
/// Between two attempts to leave a stalled disk: a transfer takes a few round trips.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(500);
/// A leader that no quorum has acknowledged for this long has lost it.
const QUORUM_SILENCE_MAX: Duration = Duration::from_secs(10);

/// The leader's loop; idle on other members.
pub(crate) async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut revocations = JoinSet::new();
    let mut in_sync_since: Option<(BTreeSet<u64>, Instant)> = None;
    let mut changing_since: Option<Instant> = None;
    let mut oversight = Oversight::default();
    let mut lost = LostVoters::default();
    let mut handed_over_at: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        while revocations.try_join_next().is_some() {}
        let leadership = *store.leadership.borrow();
        if !leadership.acting {
            *store.leases.lock() = None;
            (in_sync_since, changing_since) = (None, None);
            lost = LostVoters::default();
            oversight.rest();
            continue;
        }
        expire_leases(&store, &mut revocations);
        oversight.look(&store);
        finish_change(&store, &mut changing_since).await;
        promote_learners(&store, &mut in_sync_since).await;
        retire_former_selves(&store).await;
        lost.look(&store).await;
        leave_a_stalled_disk(&store, &mut handed_over_at).await;
    }
}

fn expire_leases(store: &Arc<Inner>, revocations: &mut JoinSet<()>) {
    let now = Instant::now();
    let view = store.state.view();
    let mut leases = store.leases.lock();
    let clock = leases.get_or_insert_with(|| LeaseClock::new(&view, now));
    clock.observe(&view, now);
    let room = REVOCATIONS_MAX.saturating_sub(revocations.len());
    // A leader cut off from the others has no say over leases, and may have missed their renewal.
    if room == 0 || quorum_is_silent(store) {
        return;
    }
    for id in clock.expired(now, room) {
        clock.retry_at(id, now + REVOKE_AGAIN);
        let store = store.clone();
        revocations.spawn(async move {
            let body = command::Body::LeaseRevoke(LeaseRevokeRequest { id });
            match store.propose(body, Proposal::default()).await {
                Ok(_) | Err(Error::LeaseNotFound) => {}
                Err(error) => tracing::debug!(lease = id, %error, "an expired lease could not be revoked yet"),
            }
        });
    }
}

fn quorum_is_silent(store: &Inner) -> bool {
    let metrics = store.raft.data_metrics();
    let acknowledged = metrics.borrow_watched().last_quorum_acked;
    acknowledged.is_some_and(|at| at.elapsed() > QUORUM_SILENCE_MAX)
}

/// A change of the voters that nobody carries on would stay half done for ever.
async fn finish_change(store: &Inner, since: &mut Option<Instant>) {
    if !store.voters_changing() {
        *since = None;
        return;
    }
    if since.get_or_insert_with(Instant::now).elapsed() > UNFINISHED_FOR {
        *since = None;
        let finished = store.finish_change().await;
        tracing::info!(finished, "a change of the voters was left half done");
    }
}

/// Learners become voters, but never so that the number of voters is even: a second voter only adds a way to lose both.
async fn promote_learners(store: &Arc<Inner>, since: &mut Option<(BTreeSet<u64>, Instant)>) {
    let voters = store.raft.voter_ids().count();
    let ready: BTreeSet<u64> = store.in_sync().into_iter().filter(|id| store.is_alive(*id)).collect();
    let chosen: BTreeSet<u64> = ready.into_iter().take(if voters.is_multiple_of(2) { 1 } else { 2 }).collect();
    if (voters + chosen.len()).is_multiple_of(2) || chosen.is_empty() {
        *since = None;
        return;
    }
    match since {
        Some((waiting, at)) if *waiting == chosen => {
            if at.elapsed() >= IN_SYNC_FOR {
                let promoted = store.promote_all(chosen.clone()).await;
                tracing::info!(members = ?chosen, promoted, "learners in sync become voters");
                *since = None;
            }
        }
        _ => *since = Some((chosen, Instant::now())),
    }
}

/// A member that lost its data and came back under a new id needs its old place no more, once it has caught up.
async fn retire_former_selves(store: &Inner) {
    let nodes = store.nodes();
    let in_sync = store.in_sync();
    for (id, info) in &nodes {
        let Some(former) = info.replaces.filter(|former| nodes.contains_key(former)) else { continue };
        let is_voter = store.raft.voter_ids().any(|voter| voter == *id);
        if (in_sync.contains(id) || is_voter) && !store.is_alive(former) {
            let retired = store.retire_former(former, *id).await;
            tracing::info!(
                former = format!("{former:016x}"),
                now = format!("{id:016x}"),
                retired,
                "a member is back under a new id"
            );
        }
    }
}

/// Voters that are silent. A member that has just begun to lead counts from then: what its predecessor heard it cannot know.
#[derive(Default)]
struct LostVoters {
    silent_since: BTreeMap<u64, Instant>,
}

impl LostVoters {
    /// Gives the place of one lost voter to a learner in sync. Without a learner nothing changes: a voter that is silent
    /// today may be needed tomorrow.
    async fn look(&mut self, store: &Inner) {
        let now = Instant::now();
        let silent: BTreeSet<u64> = store.raft.voter_ids().filter(|voter| !store.is_alive(*voter)).collect();
        self.silent_since.retain(|voter, _| silent.contains(voter));
        for voter in &silent {
            self.silent_since.entry(*voter).or_insert(now);
        }
        let patience = store.config.timing.voter_lost;
        let lost = self.silent_since.iter().find(|(_, since)| now.duration_since(**since) >= patience);
        let Some((lost, _)) = lost else { return };
        let Some(heir) = store.in_sync().into_iter().find(|id| store.is_alive(*id)) else { return };
        let lost = *lost;
        let replaced = store.replace_voter(lost, heir).await;
        tracing::warn!(
            lost = format!("{lost:016x}"),
            heir = format!("{heir:016x}"),
            replaced,
            "a lost voter's place goes to a learner"
        );
    }
}

async fn leave_a_stalled_disk(store: &Inner, handed_over_at: &mut Option<Instant>) {
    let pending = store.wal.fsync_pending();
    // Where every flush is slow, other disks are hardly better.
    let stalled = (store.config.timing.election_max / 2).max(store.wal.fsync_p99() * STALL_FACTOR);
    if pending < stalled || handed_over_at.is_some_and(|at| at.elapsed() < HAND_OVER_AGAIN) {
        return;
    }
    let Some(successor) = store.best_successor().filter(|successor| store.is_alive(*successor)) else { return };
    *handed_over_at = Some(Instant::now());
    tracing::warn!(?pending, successor, "the disk stalls; handing leadership over");
    if let Err(error) = store.raft.trigger().transfer_leader(successor).await {
        tracing::debug!(%error, "cannot hand leadership over");
    }
}
