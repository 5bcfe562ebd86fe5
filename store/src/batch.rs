//! Proposals on their way into the leader's log.
//!
//! A proposal that finds nothing under way is written at once. While others are under way, proposals gather, and go in together
//! when one of those is done: a write of many costs the group hardly more than a write of one (a flush on each member, a message
//! and its answer), so the more clients there are, the less each costs, and none waits longer than for the write before its own.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use openraft::{
    errors::{ClientWriteError, Fatal},
    raft::WriteResult,
};
use proto::raftpb::CommandResponse;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::raft::{
    Raft,
    type_config::{Payload, Types},
};

/// Proposals that wait to be gathered; more wait for room.
const QUEUE_MAX: usize = 4096;
/// Proposals written at once.
const BATCH_MAX: usize = 1024;
/// Writes under way while others gather.
const UNDER_WAY_MAX: usize = 1;
/// No proposal gathers longer: a write may be stuck, or members far apart.
const GATHER_MAX: Duration = Duration::from_millis(5);

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It was applied.
    Applied {
        /// What that gave.
        response: CommandResponse,
        /// Where it stands in the log.
        index: u64,
    },
    /// It may be in somebody's log, or not.
    Unknown,
    /// Nobody took it.
    Refused,
    /// The store has ended.
    Stopped,
}

struct Proposal {
    command: Bytes,
    done: oneshot::Sender<Attempt>,
}

/// Where proposals are handed in.
#[derive(Clone)]
pub(crate) struct Batcher(mpsc::Sender<Proposal>);

/// The other end.
pub(crate) struct Batches(mpsc::Receiver<Proposal>);

pub(crate) fn queue() -> (Batcher, Batches) {
    let (proposals, queue) = mpsc::channel(QUEUE_MAX);
    (Batcher(proposals), Batches(queue))
}

impl Batcher {
    /// Hands a command in. The answer comes when it has been applied, or will not be by this member.
    pub(crate) async fn propose(&self, command: Bytes) -> oneshot::Receiver<Attempt> {
        let (done, attempt) = oneshot::channel();
        if let Err(mpsc::error::SendError(proposal)) = self.0.send(Proposal { command, done }).await {
            // Nobody waits for an answer that cannot be sent.
            drop(proposal.done.send(Attempt::Stopped));
        }
        attempt
    }
}

impl Batches {
    /// Writes, as long as somebody may propose.
    pub(crate) async fn run(mut self, raft: Raft) {
        let mut under_way = FuturesUnordered::new();
        let mut gathered = Vec::new();
        let mut gathering_since = Instant::now();
        loop {
            let full = gathered.len() >= BATCH_MAX;
            let may_write = under_way.len() < UNDER_WAY_MAX || full || gathering_since.elapsed() >= GATHER_MAX;
            if !gathered.is_empty() && may_write {
                let written = write(&raft, std::mem::take(&mut gathered)).await;
                under_way.push(written);
            }
            let was_empty = gathered.is_empty();
            tokio::select! {
                biased;
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                more = self.0.recv_many(&mut gathered, BATCH_MAX), if !full => if more == 0 { return },
                () = tokio::time::sleep_until(gathering_since + GATHER_MAX), if !was_empty => {}
            }
            if was_empty {
                gathering_since = Instant::now();
            }
        }
    }
}

type Results = Pin<Box<dyn Stream<Item = Result<WriteResult<Types>, Fatal<Types>>> + Send>>;

/// Submits; the future that is returned hands out the answers.
async fn write(raft: &Raft, mut proposals: Vec<Proposal>) -> impl Future<Output = ()> + use<> {
    proposals.retain(|proposal| !proposal.done.is_closed());
    let (commands, waiting): (Vec<_>, Vec<_>) = proposals.into_iter().map(|p| (Payload(p.command), p.done)).unzip();
    let submitted = raft.client_write_many(commands).await;
    hand_out(submitted.map(|results| results as Results).ok(), waiting)
}

async fn hand_out(mut results: Option<Results>, waiting: Vec<oneshot::Sender<Attempt>>) {
    for done in waiting {
        let result = match &mut results {
            Some(results) => results.next().await,
            None => None,
        };
        let attempt = match result {
            Some(Ok(Ok(written))) => Attempt::Applied { response: written.response.0, index: written.log_id.index },
            Some(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Attempt::Refused,
            Some(Ok(Err(_))) => Attempt::Unknown,
            Some(Err(_)) | None => Attempt::Stopped,
        };
        // Whoever gave up does not want to know.
        drop(done.send(attempt));
    }
}
