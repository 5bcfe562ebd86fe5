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
    patience: Duration,
}

impl LeaderRequired {
    /// As the metadata of the stream have it.
    pub(super) fn new(store: &Store, metadata: &MetadataMap) -> Self {
        let asked = metadata.get("hasleader").is_some_and(|value| value == "true");
        Self { leadership: asked.then(|| store.leadership()), missing_since: None, patience: PATIENCE }
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
            let end = *self.missing_since.get_or_insert_with(Instant::now) + self.patience;
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

    const WHILE: Duration = Duration::from_millis(20);

    fn required(leadership: watch::Receiver<Leadership>, patience: Duration) -> LeaderRequired {
        LeaderRequired { leadership: Some(leadership), missing_since: None, patience }
    }

    async fn waits(required: &mut LeaderRequired) -> bool {
        tokio::time::timeout(WHILE, required.lost()).await.is_err()
    }

    #[tokio::test]
    async fn an_election_is_no_reason() {
        let (leadership, watched) = watch::channel(Leadership { term: 1, leader: Some(1), acting: false });
        let mut required = required(watched, Duration::from_secs(600));
        for leader in [None, Some(2), None, None, Some(3)] {
            leadership.send_modify(|now| now.leader = leader);
            assert!(waits(&mut required).await);
            assert_eq!(required.missing_since.is_some(), leader.is_none());
        }
        drop(leadership);
        assert_eq!(required.lost().await.message(), "etcdserver: server stopped");
    }

    #[tokio::test]
    async fn a_lost_quorum_is_one_however_often_the_wait_is_given_up() {
        let patience = WHILE * 5;
        let (_leadership, watched) = watch::channel(Leadership::default());
        let (mut required, start) = (required(watched, patience), Instant::now());
        while waits(&mut required).await {}
        assert!(start.elapsed() >= patience);
        assert_eq!(required.lost().await.message(), "etcdserver: no leader");
    }

    #[tokio::test]
    async fn who_did_not_ask_waits() {
        let mut silent = LeaderRequired { leadership: None, missing_since: None, patience: Duration::ZERO };
        assert!(waits(&mut silent).await);
    }
}
