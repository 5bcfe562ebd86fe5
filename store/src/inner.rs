//! What the handle, the services and the background tasks share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    ReadPolicy,
    errors::{ForwardToLeader, LinearizableReadError, RaftError},
    rt::watch::WatchReceiver as _,
};
use parking_lot::Mutex;
use prost::Message;
use proto::raftpb::{
    Command, CommandResponse, ForwardRequest, ForwardResponse, ForwardedAnswer, ForwardedCommand, KeepAliveRequest,
    KeepAliveResponse, ReadIndexRequest, ReadIndexResponse, command, command_response, raft_client::RaftClient,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use crate::{
    Error, Leadership, Proposal, Stamp,
    applied::Progress,
    batch::{Attempt, Batcher},
    command::{FEATURE_LEVEL, validate},
    config::Config,
    departure::Departure,
    election::Election,
    forward::Forwarder,
    lease::LeaseClock,
    peers::Peers,
    persistence::Persistence,
    proposals::Proposals,
    raft::{Raft, type_config::MemberInfo},
    read_index::{Confirmations, ReadIndexQueue},
    space::Space,
    state_machine::StateMachine,
    wal::Wal,
    world::{PeerChannel, Planted, Traffic, World},
};

/// Between two attempts when nothing tells that the next one may succeed.
const RETRY: Duration = Duration::from_millis(5);
/// How long a question to the leader may take before it is asked again.
const LEADER_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// One running member.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) world: World,
    pub(crate) peers: Peers,
    pub(crate) wal: Wal,
    pub(crate) raft: Raft,
    pub(crate) state: StateMachine,
    pub(crate) persistence: Arc<Persistence>,
    pub(crate) applied: Arc<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) election: Arc<Election>,
    pub(crate) proposals: Proposals,
    pub(crate) batcher: Batcher,
    pub(crate) forwarder: Forwarder,
    pub(crate) reads: ReadIndexQueue,
    pub(crate) confirmations: Confirmations,
    /// Set while this member acts as the leader.
    pub(crate) leases: Mutex<Option<LeaseClock>>,
    pub(crate) space: Space,
    pub(crate) tasks: TaskTracker,
    pub(crate) servers: Mutex<JoinSet<()>>,
    /// Clients are served no more but for what they have asked.
    pub(crate) last_call: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    /// Why the member's time in the group is over, once it is.
    pub(crate) departure: watch::Sender<Option<Departure>>,
}

impl Inner {
    pub(crate) fn id(&self) -> u64 {
        self.config.member_id
    }

    /// How the members are called and reached, voters and learners alike.
    pub(crate) fn nodes(&self) -> BTreeMap<u64, MemberInfo> {
        let metrics = self.raft.server_metrics();
        let server = metrics.borrow_watched();
        server.membership_config.membership().nodes().map(|(id, info)| (*id, info.clone())).collect()
    }

    pub(crate) fn client(&self, id: u64, traffic: Traffic) -> Option<RaftClient<PeerChannel>> {
        self.peers.client(id, traffic).inspect_err(|error| tracing::warn!(%error, "cannot reach a member")).ok()
    }

    /// Has a command applied once, wherever the leader is and however often it changes meanwhile.
    pub(crate) async fn propose(&self, body: command::Body, proposal: Proposal) -> Result<CommandResponse, Error> {
        let deadline = Instant::now() + proposal.timeout;
        let stamp = match tokio::time::timeout_at(deadline, self.proposals.stamp()).await {
            Ok(stamp) => stamp.ok_or(Error::Stopped)?,
            Err(_) => return Err(Error::TooManyRequests),
        };
        let given =
            Stamp { session: stamp.session, sequence: stamp.sequence, acknowledged_below: stamp.acknowledged_below };
        let Stamp { session, sequence, acknowledged_below } = proposal.stamp.unwrap_or(given);
        let command = Command {
            session,
            sequence,
            feature_level: FEATURE_LEVEL,
            fence_term: proposal.fence,
            acknowledged_below,
            body: Some(body),
        };
        validate(&command)?;
        if let Some(body) = &command.body {
            self.check_space(body)?;
        }
        let bytes = Bytes::from(command.encode_to_vec());
        let mut maybe_logged = false;
        let applied = tokio::time::timeout_at(deadline, self.propose_until_applied(bytes, &mut maybe_logged)).await;
        let (response, index) = match applied {
            Ok(applied) => applied?,
            Err(_) if maybe_logged => return Err(Error::Timeout),
            Err(_) => return Err(Error::NoLeader),
        };
        // A client sees its own write on the member it wrote to.
        if tokio::time::timeout_at(deadline, self.wait_applied(index)).await.is_err() {
            return Err(Error::Timeout);
        }
        match response.body {
            Some(command_response::Body::Error(error)) => Err(error.into()),
            _ => Ok(response),
        }
    }

    async fn propose_until_applied(
        &self,
        mut bytes: Bytes,
        maybe_logged: &mut bool,
    ) -> Result<(CommandResponse, u64), Error> {
        let mut leadership = self.leadership.clone();
        loop {
            let seen = *leadership.borrow_and_update();
            let attempt = match seen.leader {
                Some(leader) if leader == self.id() => {
                    *maybe_logged = true;
                    // What is stuck in a log that is no longer led goes to the successor.
                    tokio::select! {
                        biased;
                        attempt = self.propose_here(bytes.clone()) => attempt,
                        _ = leadership.wait_for(|now| now.leader.is_some_and(|now| now != leader)) => Attempt::Unknown,
                    }
                }
                Some(leader) => {
                    // A leader that is gone without a word keeps the stream open: its successor is asked at once.
                    tokio::select! {
                        biased;
                        attempt = self.propose_there(leader, bytes.clone(), maybe_logged) => attempt,
                        _ = leadership.wait_for(|now| now.leader.is_some_and(|now| now != leader)) => Attempt::Unknown,
                    }
                }
                None => Attempt::Refused,
            };
            match attempt {
                Attempt::Applied { response, index } => return Ok((response, index)),
                Attempt::Stopped => return Err(Error::Stopped),
                Attempt::Unknown if self.world.has(Planted::ProposeAnew) => bytes = without_stamp(&bytes),
                Attempt::Unknown | Attempt::Refused => {}
            }
            self.wait_for_change(&mut leadership).await?;
        }
    }

    /// Until another leader is known, or a moment has passed.
    pub(crate) async fn wait_for_change(&self, leadership: &mut watch::Receiver<Leadership>) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(Error::Stopped),
            waited = tokio::time::timeout(RETRY, leadership.changed()) => match waited {
                // Consensus has ended, and with it whoever would tell: trying again at once would never stop.
                Ok(Err(_)) => Err(Error::Stopped),
                Ok(Ok(())) | Err(_) => Ok(()),
            },
        }
    }

    async fn propose_here(&self, bytes: Bytes) -> Attempt {
        self.batcher.propose(bytes).await.await.unwrap_or(Attempt::Stopped)
    }

    async fn propose_there(&self, leader: u64, bytes: Bytes, maybe_logged: &mut bool) -> Attempt {
        let Some(client) = self.client(leader, Traffic::Bulk) else { return Attempt::Refused };
        *maybe_logged = true;
        match self.forwarder.propose(leader, client, bytes).await {
            None => Attempt::Unknown,
            Some(answer) if answer.not_leader => Attempt::Refused,
            Some(answer) => match CommandResponse::decode(answer.response) {
                Ok(response) => Attempt::Applied { response, index: answer.index },
                Err(error) => {
                    tracing::error!(%error, "the leader's answer cannot be decoded");
                    Attempt::Unknown
                }
            },
        }
    }

    /// Another member's proposals, for this one as the leader.
    pub(crate) async fn propose_forwarded(&self, request: ForwardRequest) -> Result<ForwardResponse, Status> {
        let mut attempts = Vec::with_capacity(request.commands.len());
        for ForwardedCommand { id, command } in request.commands {
            // A copy: what is applied lives long, and must not keep the whole message in memory.
            attempts.push((id, self.batcher.propose(Bytes::copy_from_slice(&command)).await));
        }
        let mut answers = Vec::with_capacity(attempts.len());
        for (id, attempt) in attempts {
            let answer = ForwardedAnswer { id, ..ForwardedAnswer::default() };
            answers.push(match attempt.await.unwrap_or(Attempt::Stopped) {
                Attempt::Applied { response, index } => {
                    ForwardedAnswer { response: response.encode_to_vec().into(), index, ..answer }
                }
                // The member asks again with the same stamp, so not knowing the outcome does no harm.
                Attempt::Refused | Attempt::Unknown => {
                    let leader = self.leadership.borrow().leader.unwrap_or_default();
                    ForwardedAnswer { not_leader: true, leader, ..answer }
                }
                Attempt::Stopped => return Err(Error::Stopped.into()),
            });
        }
        Ok(ForwardResponse { answers })
    }

    pub(crate) async fn wait_applied(&self, index: u64) {
        self.applied.wait(index).await;
    }

    /// A commit index that a quorum confirmed after this call began, if this member leads.
    pub(crate) async fn leader_read_index(&self) -> Result<ReadIndexResponse, Error> {
        if self.world.has(Planted::ReadWithoutQuorum) {
            let not_leader = self.leadership.borrow().leader != Some(self.id());
            return Ok(ReadIndexResponse {
                index: self.state.view().position().map_or(0, |at| at.index),
                not_leader,
                ..Default::default()
            });
        }
        let raft = self.raft.clone();
        self.confirmations.ask(move || Box::pin(confirm(raft))).await
    }

    /// One attempt, here or at the leader.
    pub(crate) async fn try_read_index(&self, leader: u64) -> Option<u64> {
        let answer = if leader == self.id() {
            self.leader_read_index().await.ok()?
        } else {
            let mut client = self.client(leader, Traffic::Control)?;
            tokio::time::timeout(LEADER_ANSWER_TIMEOUT, client.read_index(ReadIndexRequest {}))
                .await
                .ok()?
                .ok()?
                .into_inner()
        };
        (!answer.not_leader).then_some(answer.index)
    }

    /// After it, the local view holds every write acknowledged before the call.
    pub(crate) async fn read_barrier(&self, timeout: Duration) -> Result<(), Error> {
        if self.state.is_corrupt() {
            return Err(Error::Corrupt);
        }
        if self.world.has(Planted::ReadWhatIsThere) {
            return Ok(());
        }
        let wait = async { self.reads.wait().await };
        match tokio::time::timeout(timeout, wait).await {
            Ok(result) => result,
            Err(_) if self.leadership.borrow().leader.is_none() => Err(Error::NoLeader),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Renews a lease, if this member leads, and a quorum agrees that it does.
    pub(crate) async fn leader_keep_alive(&self, id: i64) -> Result<KeepAliveResponse, Error> {
        let not_leader =
            |leader: Option<u64>| KeepAliveResponse { not_leader: true, leader: leader.unwrap_or_default(), ttl: 0 };
        let confirmed = self.leader_read_index().await?;
        if confirmed.not_leader {
            return Ok(not_leader(Some(confirmed.leader)));
        }
        self.wait_applied(confirmed.index).await;
        let now = Instant::now();
        match self.leases.lock().as_mut() {
            Some(clock) => {
                clock.observe(&self.state.view(), now);
                Ok(KeepAliveResponse { ttl: clock.renew(id, now).unwrap_or(0), ..KeepAliveResponse::default() })
            }
            None => Ok(not_leader(None)),
        }
    }

    /// Renews a lease through the leader. Its time to live, or `None` when there is no such lease.
    pub(crate) async fn keep_alive(&self, id: i64, timeout: Duration) -> Result<Option<i64>, Error> {
        let attempts = async {
            let mut leadership = self.leadership.clone();
            loop {
                let leader = leadership.borrow_and_update().leader;
                let answer = match leader {
                    Some(leader) if leader == self.id() => self.leader_keep_alive(id).await.ok(),
                    Some(leader) => self.ask_keep_alive(leader, id).await,
                    None => None,
                };
                if let Some(answer) = answer.filter(|answer| !answer.not_leader) {
                    return Ok((answer.ttl > 0).then_some(answer.ttl));
                }
                self.wait_for_change(&mut leadership).await?;
            }
        };
        tokio::time::timeout(timeout, attempts).await.unwrap_or(Err(Error::Timeout))
    }

    async fn ask_keep_alive(&self, leader: u64, id: i64) -> Option<KeepAliveResponse> {
        let mut client = self.client(leader, Traffic::Control)?;
        let answer = tokio::time::timeout(LEADER_ANSWER_TIMEOUT, client.keep_alive(KeepAliveRequest { id })).await;
        Some(answer.ok()?.ok()?.into_inner())
    }
}

/// The command as one that nobody has seen before.
fn without_stamp(command: &Bytes) -> Bytes {
    let mut command = Command::decode(command.clone()).unwrap_or_default();
    (command.session, command.sequence) = (0, 0);
    command.encode_to_vec().into()
}

/// Asks a quorum whether this member leads.
async fn confirm(raft: Raft) -> Result<ReadIndexResponse, Error> {
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => {
            Ok(ReadIndexResponse { index: linearizer.read_log_id().index(), ..ReadIndexResponse::default() })
        }
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
            Ok(ReadIndexResponse { not_leader: true, leader: leader_id.unwrap_or_default(), index: 0 })
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(Error::NoLeader),
        Err(RaftError::Fatal(_)) => Err(Error::Stopped),
    }
}
