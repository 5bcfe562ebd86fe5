//! Who leads, as this member knows it.

use openraft::{ServerState, rt::watch::WatchReceiver as _};
use tokio::sync::watch;

use crate::{
    peers::Peers,
    raft::{Raft, state_machine::Applied},
};

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term this member is in.
    pub term: u64,
    /// The member that leads it, if known.
    pub leader: Option<u64>,
    /// This member leads, and has applied an entry of its own term: nothing an earlier leader wrote is missing here.
    pub acting: bool,
}

/// Follows the Raft instance until it ends; then nobody leads.
pub(crate) async fn follow(
    raft: Raft,
    peers: Peers,
    mut applied: watch::Receiver<Applied>,
    leadership: watch::Sender<Leadership>,
) {
    let mut metrics = raft.server_metrics();
    let mut membership = None;
    loop {
        let now = {
            let server = metrics.borrow_watched();
            let log_id = *server.membership_config.log_id();
            if membership.replace(log_id) != Some(log_id) {
                let nodes = server.membership_config.nodes();
                peers.set_addresses(nodes.map(|(id, info)| (*id, info.clone())).collect());
            }
            let term = server.vote.leader_id.term;
            let leads = server.state == ServerState::Leader;
            let acting = leads && applied.borrow_and_update().term == term;
            Leadership { term, leader: server.current_leader, acting }
        };
        if now.acting && !leadership.borrow().acting {
            tracing::info!(term = now.term, "leads");
        }
        leadership.send_if_modified(|before| std::mem::replace(before, now) != now);
        let waits_for_own_entry = now.leader == Some(*raft.node_id()) && !now.acting;
        tokio::select! {
            biased;
            changed = metrics.changed() => if changed.is_err() { break },
            changed = applied.changed(), if waits_for_own_entry => if changed.is_err() { break },
        }
    }
    leadership.send_modify(|now| *now = Leadership { leader: None, acting: false, ..*now });
}
