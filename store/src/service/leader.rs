//! Streams that end when there is no leader, for clients that ask for it.
//!
//! A client on a member that lost the others would wait for news that cannot come; told so, it turns to another member.
//! An election is no reason: it is over long before.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tonic::{Status, metadata::MetadataMap};

use crate::{Error, Leadership, Store};

/// Three of etcd's election timeouts.
const PATIENCE: Duration = Duration::from_secs(3);

/// Watches over the leader for one stream.
pub(super) struct LeaderRequired {
    /// None when the client did not ask.
    leadership: Option<watch::Receiver<Leadership>>,
    missing_since: Option<Instant>,
}

impl LeaderRequired {
    /// As the metadata of the stream have it.
    pub(super) fn new(store: &Store, metadata: &MetadataMap) -> Self {
        let asked = metadata.get("hasleader").is_some_and(|value| value == "true");
        Self { leadership: asked.then(|| store.leadership()), missing_since: None }
    }

    /// Returns once there has been no leader for long. Nothing is forgotten when the call is given up and made again.
    pub(super) async fn lost(&mut self) -> Status {
        let Some(leadership) = &mut self.leadership else { return std::future::pending().await };
        loop {
            if leadership.borrow_and_update().leader.is_some() {
                self.missing_since = None;
                if leadership.changed().await.is_err() {
                    return Error::Stopped.into();
                }
                continue;
            }
            let end = *self.missing_since.get_or_insert_with(Instant::now) + PATIENCE;
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(end) => return Error::NoLeader.into(),
                changed = leadership.changed() => if changed.is_err() {
                    return Error::Stopped.into();
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(leadership: watch::Receiver<Leadership>) -> LeaderRequired {
        LeaderRequired { leadership: Some(leadership), missing_since: None }
    }

    #[tokio::test(start_paused = true)]
    async fn an_election_is_no_reason_and_a_lost_quorum_is() {
        let led = Leadership { term: 1, leader: Some(1), acting: false };
        let (leadership, watched) = watch::channel(led);
        let mut required = required(watched);
        let start = Instant::now();
        for _ in 0..4 {
            leadership.send_modify(|now| now.leader = None);
            // Given up and made again, as in a loop over many things.
            for _ in 0..20 {
                assert!(tokio::time::timeout(PATIENCE / 40, required.lost()).await.is_err());
            }
            leadership.send_modify(|now| now.leader = Some(2));
            assert!(tokio::time::timeout(PATIENCE / 40, required.lost()).await.is_err());
        }
        assert!(start.elapsed() > PATIENCE);
        leadership.send_modify(|now| now.leader = None);
        let lost = Instant::now();
        assert_eq!(required.lost().await.message(), "etcdserver: no leader");
        assert!(lost.elapsed() >= PATIENCE && lost.elapsed() < PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_did_not_ask_waits() {
        let mut silent = LeaderRequired { leadership: None, missing_since: None };
        assert!(tokio::time::timeout(PATIENCE * 10, silent.lost()).await.is_err());
    }
}
