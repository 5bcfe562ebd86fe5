//! etcd's Maintenance service.

use std::pin::Pin;

use futures_util::Stream;
use proto::{
    etcdserverpb::{
        AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest, HashKvResponse, HashRequest,
        HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest,
        StatusResponse, alarm_request::AlarmAction, maintenance_server::Maintenance,
    },
    raftpb::{command, command_response},
};
use tonic::{Request, Response, Status};

use super::{ETCD_VERSION, FSYNC_P99_MICROS, Service, VERSION};
use crate::{Error, Proposal, View};

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        if request.action() == AlarmAction::Get {
            self.store.read_index().await?;
            let alarms = self.store.view().alarms().to_vec();
            return Ok(Response::new(AlarmResponse { header: Some(self.store.header()), alarms }));
        }
        let response = self.store.propose(command::Body::Alarm(request), Proposal::default()).await?;
        let Some(command_response::Body::Alarm(AlarmResponse { alarms, .. })) = response.body else {
            return Err(Error::Internal("an answer of the wrong kind".to_owned()).into());
        };
        Ok(Response::new(AlarmResponse { header: Some(self.store.header()), alarms }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let status = self.store.status();
        let bytes = i64::try_from(status.state_bytes).unwrap_or(i64::MAX);
        let mut errors: Vec<_> =
            self.store.view().alarms().iter().map(|alarm| alarm.alarm().as_str_name().to_owned()).collect();
        if status.corrupt {
            errors.push(Error::Corrupt.to_string());
        }
        if status.leader.is_none() {
            errors.push(Error::NoLeader.to_string());
        }
        let mut response = Response::new(StatusResponse {
            header: Some(self.store.header()),
            version: ETCD_VERSION.to_owned(),
            db_size: bytes,
            db_size_in_use: bytes,
            leader: status.leader.unwrap_or_default(),
            raft_index: status.last_index,
            raft_term: status.term,
            raft_applied_index: status.applied_index,
            errors,
            is_learner: status.learner,
        });
        super::tell(&mut response, VERSION, &status.version);
        super::tell(&mut response, FSYNC_P99_MICROS, &status.fsync_p99.as_micros());
        Ok(response)
    }

    /// There are no holes to fill: answers at once.
    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        Ok(Response::new(DefragmentResponse { header: Some(self.store.header()) }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        Ok(Response::new(HashResponse { header: Some(self.store.header()), hash: short_hash(&self.store.view()) }))
    }

    /// The hash is kept while the state changes, so it exists for the present revision alone.
    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let view = self.store.view();
        let revision = request.into_inner().revision;
        if revision > view.revision() {
            return Err(Error::FutureRevision.into());
        }
        if revision > 0 && revision < view.compacted() {
            return Err(Error::Compacted { compact_revision: view.compacted() }.into());
        }
        Ok(Response::new(HashKvResponse {
            header: Some(self.header_at(view.revision())),
            hash: short_hash(&view),
            compact_revision: view.compacted(),
            hash_revision: view.revision(),
        }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    /// A snapshot in the store's own format: there is no database file of etcd's to send.
    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        Ok(super::snapshot::stream(&self.store).await)
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        self.store.move_leader(request.into_inner().target_id).await?;
        Ok(Response::new(MoveLeaderResponse { header: Some(self.store.header()) }))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "as many bits as the answer has room for")]
fn short_hash(view: &View) -> u32 {
    view.hash() as u32
}
