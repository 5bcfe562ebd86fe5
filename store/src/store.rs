//! The handle everybody uses.

use std::{path::Path, sync::Arc, time::Duration};

use proto::{
    etcdserverpb::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
        LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeResponse, LeaseStatus,
        LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
        ResponseHeader, TxnRequest, TxnResponse,
    },
    raftpb::{CommandResponse, command, command_response},
};
use tokio::sync::watch;

use crate::{
    Config, Departure, Error, Leadership, Member, Owner, StartError, Status, Tls, TlsError, View, WatchRange,
    WatchStream,
    command::{is_read_only, is_serializable, validate_range, validate_txn},
    inner::Inner,
    membership::Request,
    raft::type_config::MemberInfo,
    world::World,
};

/// What a request may take when its caller does not say.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How a write is proposed.
#[derive(Clone, Copy, Debug)]
pub struct Proposal {
    /// Apply only in an entry of this term: what a component that runs on the leader writes must not be applied once
    /// another one leads.
    pub fence: Option<u64>,
    /// After this the outcome is unknown, and the write is applied now or never.
    pub timeout: Duration,
    /// The caller's own stamp. A write with one that was seen before is not applied again, and gets the first answer.
    pub stamp: Option<Stamp>,
}

impl Default for Proposal {
    fn default() -> Self {
        Self { fence: None, timeout: TIMEOUT, stamp: None }
    }
}

/// Tells a write from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Drawn at random by whoever writes. There is room for a few hundred; the longest idle one is forgotten first.
    pub session: u64,
    /// Counts the writes of the session from 1.
    pub sequence: u64,
    /// The session has the answers to all writes below this.
    pub acknowledged_below: u64,
}

/// A running member. Clones are the same member.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// Takes the expected kind of answer out of a response.
macro_rules! answer {
    ($response:expr, $kind:ident) => {
        match $response {
            CommandResponse { body: Some(command_response::Body::$kind(answer)) } => Ok(answer),
            other => Err(Error::Internal(format!("an answer of the wrong kind: {other:?}"))),
        }
    };
}

impl Store {
    /// Starts a member: its peer port and its client port are served when this returns.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        crate::start::start(config).await
    }

    /// The same in a world of the caller's: what simulations do.
    pub async fn start_in(config: Config, world: World) -> Result<Self, StartError> {
        crate::start::start_in(config, world).await
    }

    /// Hands leadership over, if this member has it and somebody can take it; returns once that is done or has failed.
    pub async fn resign(&self) {
        self.inner.resign().await;
    }

    /// Stops the member; if it leads, another one does first.
    pub async fn shutdown(&self) {
        self.inner.retire().await;
    }

    /// Stops at once, as a crash would: nobody is told.
    pub async fn halt(&self) {
        self.inner.halt().await;
    }

    /// Returns once the member has stopped, by request or because it cannot go on.
    pub async fn stopped(&self) {
        self.inner.shutdown.cancelled().await;
    }

    /// Why this member belongs to its group no more, if so: it has stopped then, and does not start again.
    pub fn departure(&self) -> Option<Departure> {
        *self.inner.departure.borrow()
    }

    /// Writes what this member has to a file: all of it, durably, or nothing. Blocks.
    pub fn save_snapshot(&self, file: &Path) -> std::io::Result<u64> {
        let Config { cluster_id, member_id, .. } = self.inner.config;
        crate::snapshot::save(&*self.inner.world.disk, file, self.view(), Owner { cluster_id, member_id })
    }

    /// Adds this member's metrics, under etcd's names.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        crate::metrics::register(&self.inner, registry);
    }

    /// Reads keys; linearizable unless the request says serializable.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        validate_range(&request)?;
        if !request.serializable {
            self.inner.read_barrier(TIMEOUT).await?;
        }
        let mut response = self.view().range(&request)?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Applies a transaction; one that only reads does not touch the log.
    pub async fn txn(&self, request: TxnRequest, proposal: Proposal) -> Result<TxnResponse, Error> {
        let mut response = if is_read_only(&request) {
            validate_txn(&request)?;
            if !is_serializable(&request) {
                self.inner.read_barrier(proposal.timeout).await?;
            }
            self.view().txn(&request)?
        } else {
            answer!(self.inner.propose(command::Body::Txn(request), proposal).await?, Txn)?
        };
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Writes one key.
    pub async fn put(&self, request: PutRequest, proposal: Proposal) -> Result<PutResponse, Error> {
        let mut response = answer!(self.inner.propose(command::Body::Put(request), proposal).await?, Put)?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Deletes keys.
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
        proposal: Proposal,
    ) -> Result<DeleteRangeResponse, Error> {
        let mut response =
            answer!(self.inner.propose(command::Body::DeleteRange(request), proposal).await?, DeleteRange)?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Forgets what was before a revision. A `physical` compaction is answered when nothing of it is left; otherwise what is
    /// left goes step by step with the commands that follow.
    pub async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse, Error> {
        let physical = request.physical;
        let body = command::Body::Compaction(request);
        let mut response = answer!(self.inner.propose(body, Proposal::default()).await?, Compaction)?;
        if physical {
            self.inner.forget_compacted().await?;
        }
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Grants a lease; its id is drawn here when the request has none.
    pub async fn lease_grant(&self, mut request: LeaseGrantRequest) -> Result<LeaseGrantResponse, Error> {
        if request.id == 0 {
            request.id = i64::try_from(self.inner.world.identifier() >> 1).unwrap_or(1).max(1);
        }
        let body = command::Body::LeaseGrant(request);
        let mut response = answer!(self.inner.propose(body, Proposal::default()).await?, LeaseGrant)?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Ends a lease, and deletes its keys.
    pub async fn lease_revoke(&self, id: i64) -> Result<LeaseRevokeResponse, Error> {
        let body = command::Body::LeaseRevoke(proto::etcdserverpb::LeaseRevokeRequest { id });
        let mut response = answer!(self.inner.propose(body, Proposal::default()).await?, LeaseRevoke)?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Renews a lease; its time to live is 0 when there is no such lease.
    pub async fn lease_keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, Error> {
        // The header comes first: a client that is told revision r must not find the lease gone at a revision below it.
        let header = Some(self.header());
        let ttl = self.inner.keep_alive(id, TIMEOUT).await?.unwrap_or(0);
        Ok(LeaseKeepAliveResponse { header, id, ttl })
    }

    /// What a lease has left.
    pub async fn lease_time_to_live(&self, request: LeaseTimeToLiveRequest) -> Result<LeaseTimeToLiveResponse, Error> {
        let remaining = self.inner.manage(Request::LeaseRemaining { id: request.id }, TIMEOUT).await?;
        self.inner.read_barrier(TIMEOUT).await?;
        let view = self.view();
        let lease = view.lease(request.id);
        Ok(LeaseTimeToLiveResponse {
            header: Some(self.header()),
            id: request.id,
            ttl: if lease.is_some() { remaining } else { -1 },
            granted_ttl: lease.map_or(0, |lease| lease.ttl),
            keys: if request.keys { view.lease_keys(request.id) } else { Vec::new() },
        })
    }

    /// All leases.
    pub async fn leases(&self) -> Result<LeaseLeasesResponse, Error> {
        self.inner.read_barrier(TIMEOUT).await?;
        let leases = self.view().leases().into_iter().map(|lease| LeaseStatus { id: lease.id }).collect();
        Ok(LeaseLeasesResponse { header: Some(self.header()), leases })
    }

    /// Proposes any other command.
    pub async fn propose(&self, body: command::Body, proposal: Proposal) -> Result<CommandResponse, Error> {
        self.inner.propose(body, proposal).await
    }

    /// A barrier: after it `view` holds every write acknowledged before the call. The revision is that view's.
    pub async fn read_index(&self) -> Result<i64, Error> {
        self.inner.read_barrier(TIMEOUT).await?;
        Ok(self.view().revision())
    }

    /// What this member has applied, without a barrier.
    pub fn view(&self) -> View {
        self.inner.state.view()
    }

    /// Starts a watch on this member.
    pub fn watch(&self, range: WatchRange) -> WatchStream {
        self.inner.state.watch(range)
    }

    /// Who leads, now and from now on.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// What this member says about itself.
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// The members, as this one knows them.
    pub fn members(&self) -> Vec<Member> {
        self.inner.members()
    }

    /// Adds a member as a learner; it gets a vote by itself once it has caught up and the number of voters stays odd.
    pub async fn member_add(
        &self,
        id: u64,
        name: String,
        peer_urls: Vec<String>,
        client_urls: Vec<String>,
    ) -> Result<(), Error> {
        let info = MemberInfo { name, peer_urls, client_urls, replaces: None };
        self.inner.manage(Request::Add { id, info }, TIMEOUT * 2).await.map(drop)
    }

    /// Adds a member that takes the place of a silent one as soon as it has caught up, if one is named.
    pub async fn member_join(&self, member: Member, replaces: Option<u64>) -> Result<(), Error> {
        let Member { id, name, peer_urls, client_urls, .. } = member;
        let info = MemberInfo { name, peer_urls, client_urls, replaces };
        self.inner.manage(Request::Add { id, info }, TIMEOUT * 2).await.map(drop)
    }

    /// Removes a member, for good: its id is not used again.
    pub async fn member_remove(&self, id: u64) -> Result<(), Error> {
        self.inner.manage(Request::Remove { id }, TIMEOUT * 2).await.map(drop)
    }

    /// Gives a learner its vote.
    pub async fn member_promote(&self, id: u64) -> Result<(), Error> {
        self.inner.manage(Request::Promote { id }, TIMEOUT * 2).await.map(drop)
    }

    /// Changes where a member is reached; an empty list leaves its URLs as they are.
    pub async fn member_update(&self, id: u64, peer_urls: Vec<String>, client_urls: Vec<String>) -> Result<(), Error> {
        let info = MemberInfo { peer_urls, client_urls, ..MemberInfo::default() };
        self.inner.manage(Request::Update { id, info }, TIMEOUT * 2).await.map(drop)
    }

    /// Has another member lead.
    pub async fn move_leader(&self, to: u64) -> Result<(), Error> {
        self.inner.manage(Request::MoveLeader { to }, TIMEOUT * 2).await.map(drop)
    }

    /// Shows another certificate from the next connection on.
    pub fn replace_certificate(&self, tls: &Tls) -> Result<(), TlsError> {
        self.inner.world.network.replace_certificate(tls)
    }

    /// The header of an answer given now.
    pub fn header(&self) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.inner.config.cluster_id,
            member_id: self.inner.config.member_id,
            revision: self.view().revision(),
            raft_term: self.inner.leadership.borrow().term,
        }
    }

    /// Says who answered; the revision is the answer's own.
    pub(crate) fn sign(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(ResponseHeader { revision, ..self.header() });
    }
}
