//! Who belongs to the group, and how that changes. Any member takes a request; the leader carries it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::{
    ChangeMembers, Instant as _,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
    rt::watch::WatchReceiver as _,
};
use proto::raftpb::{CommandError, Frame};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    inner::Inner,
    raft::type_config::{MemberInfo, StoredMembership, Types},
    world::Traffic,
};

/// A learner this many entries behind is in sync: what it lacks is sent in a moment.
pub(crate) const LAG_ENTRIES_MAX: u64 = 500;
/// A member heard of within this time is alive.
pub(crate) const ALIVE: Duration = Duration::from_secs(2);
/// Between two looks at who is alive.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Between two attempts to tell the others a new address.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);
/// How long one question to the leader may take: a membership change is two entries of the log.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// One member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Drawn at random, never used again.
    pub id: u64,
    /// For people.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// It has no vote (yet).
    pub learner: bool,
}

/// What the leader is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Add {
        id: u64,
        info: MemberInfo,
    },
    Remove {
        id: u64,
    },
    Promote {
        id: u64,
    },
    Update {
        id: u64,
        info: MemberInfo,
    },
    MoveLeader {
        to: u64,
    },
    LeaseRemaining {
        id: i64,
    },
    /// Whether the member belongs to the group: `Done { number: 1 }` if it does.
    Belongs {
        id: u64,
    },
    /// A member says whether its disk has little room.
    Space {
        id: u64,
        low: bool,
    },
}

/// What it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done { number: i64 },
    NotLeader,
    Refused { kind: u32, message: String, detail: i64 },
}

/// Why the leader did not do it.
enum Failure {
    NotLeader,
    /// Another change is under way.
    Busy,
    Refused(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<RaftError<Types, ClientWriteError<Types>>> for Failure {
    fn from(error: RaftError<Types, ClientWriteError<Types>>) -> Self {
        match error {
            RaftError::Fatal(_) => Self::Refused(Error::Stopped),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => Self::Busy,
                ChangeMembershipError::EmptyMembership(_) => Self::Refused(Error::NotEnoughStartedMembers),
                ChangeMembershipError::LearnerNotFound(_) => Self::Refused(Error::MemberNotFound),
                error => Self::Refused(Error::Internal(error.to_string())),
            },
            RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => Self::Busy,
            RaftError::APIError(_) => Self::NotLeader,
        }
    }
}

/// The members of a membership, in the order of their ids.
pub(crate) fn listed(membership: &openraft::Membership<u64, MemberInfo>) -> Vec<Member> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let member = |(id, info): (&u64, &MemberInfo)| Member {
        id: *id,
        name: info.name.clone(),
        peer_urls: info.peer_urls.clone(),
        client_urls: info.client_urls.clone(),
        learner: !voters.contains(id),
    };
    membership.nodes().map(member).collect()
}

impl Inner {
    /// All members, in the order of their ids.
    pub(crate) fn members(&self) -> Vec<Member> {
        let metrics = self.raft.server_metrics();
        let server = metrics.borrow_watched();
        listed(server.membership_config.membership())
    }

    /// Has the leader do it, whoever that is, until the deadline.
    pub(crate) async fn manage(&self, request: Request, timeout: Duration) -> Result<i64, Error> {
        let attempts = async {
            let mut leadership = self.leadership.clone();
            loop {
                let leader = leadership.borrow_and_update().leader;
                let answer = match leader {
                    Some(leader) if leader == self.id() => Some(self.leader_manage(request.clone()).await),
                    Some(leader) => self.ask_manage(leader, &request).await,
                    None => None,
                };
                match answer {
                    Some(Answer::Done { number }) => return Ok(number),
                    Some(Answer::Refused { kind, message, detail }) => {
                        return Err(CommandError { kind, message, detail }.into());
                    }
                    Some(Answer::NotLeader) | None => self.wait_for_change(&mut leadership).await?,
                }
            }
        };
        tokio::time::timeout(timeout, attempts).await.unwrap_or(Err(Error::Timeout))
    }

    pub(crate) async fn ask_manage(&self, leader: u64, request: &Request) -> Option<Answer> {
        let mut client = self.client(leader, Traffic::Control)?;
        let body = serde_json::to_vec(request).ok()?.into();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.manage(Frame { kind: 0, body })).await.ok()?;
        match answer {
            Ok(answer) => serde_json::from_slice(&answer.into_inner().body).ok(),
            Err(status) => {
                tracing::debug!(%status, "the leader did not answer");
                None
            }
        }
    }

    /// Carries a request out, if this member leads.
    pub(crate) async fn leader_manage(&self, request: Request) -> Answer {
        let done = match request {
            Request::Add { id, info } => self.add(id, info).await,
            Request::Remove { id } => self.remove(id).await,
            Request::Promote { id } => self.promote(id).await,
            Request::Update { id, info } => self.update(id, info).await,
            Request::MoveLeader { to } => self.hand_over(to).await,
            Request::LeaseRemaining { id } => self.lease_remaining(id),
            Request::Belongs { id } => self.belongs(id).await,
            Request::Space { id, low } => {
                self.space.report(id, low);
                Ok(0)
            }
        };
        match done {
            Ok(number) => Answer::Done { number },
            Err(Failure::NotLeader | Failure::Busy) => Answer::NotLeader,
            Err(Failure::Refused(error)) => {
                let CommandError { kind, message, detail } = (&error).into();
                Answer::Refused { kind, message, detail }
            }
        }
    }

    async fn add(&self, id: u64, info: MemberInfo) -> Result<i64, Failure> {
        let nodes = self.nodes();
        match nodes.get(&id) {
            Some(known) if *known == info => return self.settled(id, &info),
            Some(_) => return Err(Error::MemberExists.into()),
            None => {}
        }
        if info.peer_urls.is_empty() || info.peer_urls.iter().any(|url| !url.starts_with("https://")) {
            return Err(Error::BadMemberUrls.into());
        }
        let shares_url = |other: &MemberInfo| other.peer_urls.iter().any(|url| info.peer_urls.contains(url));
        for other in nodes.iter().filter(|(_, known)| shares_url(known)).map(|(other, _)| *other) {
            // A member may come back under another id from where it was, but not while somebody answers there.
            if info.replaces != Some(other) || !self.falls_silent(other).await {
                return Err(Error::PeerUrlExists.into());
            }
        }
        self.raft.add_learner(id, info, false).await?;
        Ok(0)
    }

    /// The answer to a repeated request, when the one to the first was lost: that it is done, once it is committed. Until then it
    /// may yet be lost with this leader, as the answer was.
    fn settled(&self, id: u64, info: &MemberInfo) -> Result<i64, Failure> {
        let committed = self.applied_membership();
        let is_known = committed.is_some_and(|stored| stored.membership().get_node(&id) == Some(info));
        if is_known { Ok(0) } else { Err(Failure::Busy) }
    }

    /// Why a member is not known: it never was, or its removal, which may yet be lost with this leader, is not committed.
    fn unless_under_way(&self, id: u64) -> Failure {
        let committed = self.applied_membership();
        let was = committed.is_some_and(|stored| stored.membership().get_node(&id).is_some());
        if was { Failure::Busy } else { Error::MemberNotFound.into() }
    }

    /// The membership that is committed and applied here.
    fn applied_membership(&self) -> Option<StoredMembership> {
        serde_json::from_slice(self.state.view().membership()).ok()
    }

    async fn remove(&self, id: u64) -> Result<i64, Failure> {
        let members = self.members();
        let member = members.iter().find(|member| member.id == id).ok_or_else(|| self.unless_under_way(id))?;
        if member.learner {
            self.raft.change_membership(ChangeMembers::RemoveNodes([id].into()), false).await?;
            return Ok(0);
        }
        let others: BTreeSet<u64> = self.raft.voter_ids().filter(|voter| *voter != id).collect();
        self.wait_for_majority(&others).await?;
        if id == self.id()
            && let Some(successor) = self.best_successor()
        {
            // Somebody else carries it out, so that the group is never without a leader.
            self.hand_over(successor).await?;
            return Err(Failure::NotLeader);
        }
        let voters = self.voters_without(id, others);
        // One change: the one that goes loses its vote as another one gets or gives up its own.
        self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true).await?;
        self.raft.change_membership(ChangeMembers::RemoveNodes([id].into()), false).await?;
        Ok(0)
    }

    /// Whether a member is silent, or is so soon: it may have stopped a moment ago.
    async fn falls_silent(&self, id: u64) -> bool {
        let deadline = tokio::time::Instant::now() + ALIVE + LOOK_AGAIN;
        while self.is_alive(id) {
            if tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Whoever has just begun to lead has not heard of everybody yet.
    async fn wait_for_majority(&self, voters: &BTreeSet<u64>) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + ALIVE;
        while voters.iter().filter(|voter| self.is_alive(**voter)).count() < voters.len() / 2 + 1 {
            if tokio::time::Instant::now() > deadline {
                return Err(Error::NotEnoughStartedMembers.into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// The voters once one of them is gone. Their number is odd: a learner in sync takes the place, or, where there is
    /// none, the voter that has least of the log becomes a learner, since an even number only adds a way to lose.
    fn voters_without(&self, gone: u64, mut others: BTreeSet<u64>) -> BTreeSet<u64> {
        if !others.len().is_multiple_of(2) || others.is_empty() {
            return others;
        }
        let heir = self.in_sync().into_iter().find(|id| *id != gone && self.is_alive(*id));
        match heir {
            Some(heir) => drop(others.insert(heir)),
            None => {
                let metrics = self.raft.data_metrics();
                let data = metrics.borrow_watched();
                let matched = |id: &u64| data.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
                let last = others
                    .iter()
                    .copied()
                    .filter(|id| *id != self.id())
                    .min_by_key(|id| (self.is_alive(*id), matched(id)));
                if let Some(last) = last {
                    others.remove(&last);
                }
            }
        }
        others
    }

    /// Gives the place of a lost voter to a learner, in one change; `false` when it has to be tried again.
    pub(crate) async fn replace_voter(&self, lost: u64, heir: u64) -> bool {
        let mut others: BTreeSet<u64> = self.raft.voter_ids().filter(|voter| *voter != lost).collect();
        let voters = if others.insert(heir) { others } else { self.voters_without(lost, others) };
        let replaced = self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true).await.is_ok();
        replaced && self.raft.change_membership(ChangeMembers::RemoveNodes([lost].into()), false).await.is_ok()
    }

    /// Takes a member that is gone out of the group; one with a vote first loses that to a learner that comes in its place.
    pub(crate) async fn retire_former(&self, former: u64, heir: u64) -> bool {
        if self.raft.voter_ids().any(|voter| voter == former) {
            return self.replace_voter(former, heir).await;
        }
        self.raft.change_membership(ChangeMembers::RemoveNodes([former].into()), false).await.is_ok()
    }

    /// Whether a member belongs to the group, if this member leads it and a quorum agrees.
    async fn belongs(&self, id: u64) -> Result<i64, Failure> {
        let confirmed = self.leader_read_index().await?;
        if confirmed.not_leader {
            return Err(Failure::NotLeader);
        }
        self.wait_applied(confirmed.index).await;
        // What is under way counts as well as what is done.
        let was = self.applied_membership().is_some_and(|stored| stored.membership().get_node(&id).is_some());
        Ok(i64::from(was || self.nodes().contains_key(&id)))
    }

    async fn promote(&self, id: u64) -> Result<i64, Failure> {
        let members = self.members();
        let member = members.iter().find(|member| member.id == id).ok_or_else(|| self.unless_under_way(id))?;
        if !member.learner {
            let voters = self.applied_membership().map(|stored| stored.membership().voter_ids().collect::<Vec<_>>());
            let is_settled = voters.is_none_or(|voters| voters.contains(&id));
            return Err(if is_settled { Error::MemberNotLearner.into() } else { Failure::Busy });
        }
        if !self.in_sync().contains(&id) {
            return Err(Error::LearnerNotReady.into());
        }
        self.add_voters([id].into()).await
    }

    async fn add_voters(&self, ids: BTreeSet<u64>) -> Result<i64, Failure> {
        self.raft.change_membership(ChangeMembers::AddVoterIds(ids), true).await?;
        Ok(0)
    }

    /// Gives learners their votes; `false` when it has to be tried again.
    pub(crate) async fn promote_all(&self, ids: BTreeSet<u64>) -> bool {
        self.add_voters(ids).await.is_ok()
    }

    /// Whether the membership is a joint one: the first half of a change of the voters.
    pub(crate) fn voters_changing(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let server = metrics.borrow_watched();
        server.membership_config.get_joint_config().len() > 1
    }

    /// Carries out the second half of a change whose leader went away after the first.
    pub(crate) async fn finish_change(&self) -> bool {
        self.add_voters(BTreeSet::new()).await.is_ok()
    }

    async fn update(&self, id: u64, mut info: MemberInfo) -> Result<i64, Failure> {
        let known = self.nodes().remove(&id).ok_or(Error::MemberNotFound)?;
        if info.peer_urls.is_empty() {
            info.peer_urls.clone_from(&known.peer_urls);
        }
        if info.client_urls.is_empty() {
            info.client_urls.clone_from(&known.client_urls);
        }
        if info.name.is_empty() {
            info.name.clone_from(&known.name);
        }
        info.replaces = known.replaces;
        if info == known {
            return self.settled(id, &info);
        }
        self.raft.change_membership(ChangeMembers::SetNodes(BTreeMap::from([(id, info)])), true).await?;
        Ok(0)
    }

    async fn hand_over(&self, to: u64) -> Result<i64, Failure> {
        if self.leadership.borrow().leader == Some(to) {
            return Ok(0);
        }
        if self.leadership.borrow().leader != Some(self.id()) {
            return Err(Failure::NotLeader);
        }
        if !self.raft.voter_ids().any(|voter| voter == to) {
            return Err(Error::BadLeaderTransferee.into());
        }
        self.raft.trigger().transfer_leader(to).await.map_err(|_| Error::Stopped)?;
        let mut leadership = self.leadership.clone();
        let moved = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != self.id()));
        let wait = self.config.timing.election_max * 2;
        match tokio::time::timeout(wait, moved).await {
            Ok(_) => Ok(0),
            Err(_) => Err(Failure::Busy),
        }
    }

    fn lease_remaining(&self, id: i64) -> Result<i64, Failure> {
        let now = tokio::time::Instant::now();
        let mut leases = self.leases.lock();
        let clock = leases.as_mut().ok_or(Failure::NotLeader)?;
        clock.observe(&self.state.view(), now);
        Ok(clock.remaining(id, now).unwrap_or(-1))
    }

    /// Learners that have nearly all of the log.
    pub(crate) fn in_sync(&self) -> BTreeSet<u64> {
        let learners: BTreeSet<u64> = self.raft.learner_ids().collect();
        let metrics = self.raft.data_metrics();
        let data = metrics.borrow_watched();
        let last = data.last_log.map_or(0, |last| last.index);
        let matched = data.replication.iter().flatten();
        matched
            .filter(|(id, at)| learners.contains(id) && at.is_some_and(|at| at.index + LAG_ENTRIES_MAX >= last))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The voter, other than this member, that has most of the log.
    pub(crate) fn best_successor(&self) -> Option<u64> {
        self.best_successor_but(&BTreeSet::new())
    }

    /// The same without some.
    pub(crate) fn best_successor_but(&self, others: &BTreeSet<u64>) -> Option<u64> {
        let may = |voter: &u64| *voter != self.id() && !others.contains(voter);
        let voters: BTreeSet<u64> = self.raft.voter_ids().filter(may).collect();
        let metrics = self.raft.data_metrics();
        let data = metrics.borrow_watched();
        let candidates = data.replication.iter().flatten().filter(|(id, _)| voters.contains(id));
        candidates.max_by_key(|(_, at)| at.map(|at| at.index)).map(|(id, _)| *id)
    }

    /// Whether the leader has heard of the member lately.
    pub(crate) fn is_alive(&self, id: u64) -> bool {
        id == self.id() || self.silence(id).is_some_and(|silence| silence < ALIVE)
    }

    /// How long the leader has not heard of the member; `None` when it never has since it leads.
    pub(crate) fn silence(&self, id: u64) -> Option<Duration> {
        let metrics = self.raft.data_metrics();
        let data = metrics.borrow_watched();
        let heard = data.heartbeat.as_ref().and_then(|heartbeat| heartbeat.get(&id).cloned()).flatten();
        heard.map(|at| at.elapsed())
    }
}

/// Keeps what the members say of themselves true: an address may change with a restart.
pub(crate) async fn announce(store: Arc<Inner>) {
    let request = Request::Update { id: store.id(), info: store.own_info() };
    let mut attempts = tokio::time::interval(ANNOUNCE_EVERY);
    loop {
        attempts.tick().await;
        let nodes = store.nodes();
        match nodes.get(&store.id()) {
            Some(known) if *known != MemberInfo { replaces: known.replaces, ..store.own_info() } => {}
            // Not a member yet: whoever adds it knows its addresses.
            None if nodes.is_empty() => continue,
            _ => return,
        }
        // A leader that cannot reach this member is not known here either, so everybody is asked.
        for id in nodes.into_keys() {
            let answer = if id == store.id() {
                store.leader_manage(request.clone()).await
            } else {
                store.ask_manage(id, &request).await.unwrap_or(Answer::NotLeader)
            };
            if matches!(answer, Answer::Done { .. }) {
                return;
            }
        }
    }
}
