//! Members that join, leave, and come back as others because their disk has lost what it held.

use std::time::Duration;

use store::{Member, Start};
use tokio::time::{Instant, timeout};

use super::{Cluster, Machine, client_url, peer_url};
use crate::network::Place;

/// How long somebody tries to have a member added.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// More members only take time, fewer leave no majority when one is down.
const MEMBERS: std::ops::RangeInclusive<usize> = 3..=6;

impl Cluster {
    /// Has another member join, if there is room for one.
    pub(crate) async fn grow(&self) {
        if self.places().len() < *MEMBERS.end() {
            self.join(None).await;
        }
    }

    /// Has a member removed, if enough are left. It notices by itself, sooner or later.
    pub(crate) async fn remove(&self, member: Place) {
        if self.places().len() > *MEMBERS.start()
            && let Some(store) = self.member(*self.chance.pick(&self.places()))
        {
            // Done or not: what matters is what clients see.
            drop(timeout(PATIENCE, store.member_remove(member)).await);
        }
    }

    /// Whether every member has a vote that can have one, so that the loss of one member leaves a majority.
    pub(crate) fn is_whole(&self) -> bool {
        let Some(leader) = self.leader().and_then(|leader| self.member(leader)) else { return false };
        let members = leader.members();
        let voters = members.iter().filter(|member| !member.learner).count();
        let known: Vec<Place> = members.iter().map(|member| member.id).collect();
        let doubted = self.state.lock().machines.values().any(|machine| machine.in_doubt && !machine.gone);
        !doubted && known == self.places() && voters >= 3 && voters == members.len() - (members.len() + 1) % 2
    }

    /// Notes when a fault comes upon another: a member is down, held up or has something wrong with its disk, or a link is cut or slow.
    pub(crate) fn note_overlap(&self) {
        let mut state = self.state.lock();
        let suffers = |machine: &Machine| !machine.gone && (machine.running.is_none() || machine.disk.is_harmed());
        let overlaps = state.held_up > 0 || state.machines.values().any(suffers) || self.net.is_disturbed();
        state.overlaps += u64::from(overlaps);
    }

    /// How often a fault came upon another.
    pub(crate) fn overlaps(&self) -> u64 {
        self.state.lock().overlaps
    }

    /// A member whose data is damaged comes back under another id, with an empty disk.
    pub(super) fn replace(&self, member: Place) {
        {
            let mut state = self.state.lock();
            state.machines.get_mut(&member).expect("the machine is there").gone = true;
            state.left += 1;
        }
        self.net.forget(member);
        let cluster = self.clone();
        tokio::spawn(async move { cluster.join(Some(member)).await });
    }

    /// Adds a new member, and starts it. One that takes another's place tries for as long as it takes.
    async fn join(&self, replaces: Option<Place>) {
        let id = self.state.lock().machines.keys().last().copied().unwrap_or_default() + 1;
        self.reserve(id);
        let member = Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![peer_url(id)],
            client_urls: vec![client_url(id)],
            learner: true,
        };
        let deadline = Instant::now() + PATIENCE;
        while replaces.is_some() || Instant::now() < deadline {
            let through = self.places().into_iter().filter_map(|place| self.member(place)).collect::<Vec<_>>();
            if !through.is_empty()
                && let through = self.chance.pick(&through)
                && through.member_join(member.clone(), replaces).await.is_ok()
            {
                {
                    let mut state = self.state.lock();
                    state.machines.get_mut(&id).expect("the machine is there").gone = false;
                    state.joined += 1;
                }
                if let Err(error) = self.start(id, Start::Join).await {
                    self.fail(format!("member {id} does not start: {error}"));
                }
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
