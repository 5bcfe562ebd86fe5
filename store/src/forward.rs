//! Proposals on their way to the leader.
//!
//! One stream to the member that leads, with any number of proposals on it; what is at hand at one moment is one message, and so
//! are the answers to it.
//! Losing the stream loses no proposal: whoever waits learns that the outcome is unknown, and proposes the same stamp again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use proto::raftpb::{ForwardRequest, ForwardedAnswer, ForwardedCommand, raft_client::RaftClient};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::world::{PeerChannel, World};

/// Proposals handed to the stream and not yet taken by the connection.
const QUEUE_MAX: usize = 1024;
/// Proposals in one message. A message with so many of the largest requests would still be taken.
const COMMANDS_MAX: usize = 32;

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<ForwardedAnswer>>>>;

/// The stream to one leader.
#[derive(Clone)]
struct Link {
    leader: u64,
    requests: mpsc::Sender<ForwardedCommand>,
    waiting: Waiting,
    ended: CancellationToken,
}

/// Sends proposals to whoever leads.
pub(crate) struct Forwarder {
    world: World,
    state: Mutex<State>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    next: u64,
}

/// Removes a proposal nobody waits for any more.
struct Entry {
    id: u64,
    waiting: Waiting,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

impl Forwarder {
    pub(crate) fn new(world: World, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { world, state: Mutex::default(), tasks, shutdown }
    }

    /// The leader's answer; `None` when the stream broke first.
    pub(crate) async fn propose(
        &self,
        leader: u64,
        client: RaftClient<PeerChannel>,
        command: Bytes,
    ) -> Option<ForwardedAnswer> {
        let (link, id) = self.link(leader, client);
        let (answered, answer) = oneshot::channel();
        link.waiting.lock().insert(id, answered);
        let _entry = Entry { id, waiting: link.waiting.clone() };
        tokio::select! {
            biased;
            () = link.ended.cancelled() => None,
            answer = async {
                link.requests.send(ForwardedCommand { id, command }).await.ok()?;
                answer.await.ok()
            } => answer,
        }
    }

    fn link(&self, leader: u64, client: RaftClient<PeerChannel>) -> (Link, u64) {
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        let usable = state.link.as_ref().filter(|link| link.leader == leader && !link.ended.is_cancelled());
        if let Some(link) = usable {
            return (link.clone(), id);
        }
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let link = Link { leader, requests, waiting: Waiting::default(), ended: CancellationToken::new() };
        state.link = Some(link.clone());
        let (waiting, ended, shutdown) = (link.waiting.clone(), link.ended.clone(), self.shutdown.clone());
        self.tasks.spawn(self.world.part(async move {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = run(client, queue, &waiting) => {}
            }
            ended.cancel();
        }));
        (link, id)
    }
}

async fn run(mut client: RaftClient<PeerChannel>, queue: mpsc::Receiver<ForwardedCommand>, waiting: &Waiting) {
    let messages = ReceiverStream::new(queue).ready_chunks(COMMANDS_MAX).map(|commands| ForwardRequest { commands });
    let mut answers = match client.forward(messages).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => {
            tracing::debug!(%status, "no stream to the leader");
            return;
        }
    };
    loop {
        match answers.message().await {
            Ok(Some(message)) => {
                let mut waiting = waiting.lock();
                for answer in message.answers {
                    let given_up = waiting.remove(&answer.id).is_some_and(|waiting| waiting.send(answer).is_err());
                    if given_up {
                        tracing::debug!("an answer came after its request was given up");
                    }
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(%status, "the stream to the leader broke");
                return;
            }
        }
    }
}
