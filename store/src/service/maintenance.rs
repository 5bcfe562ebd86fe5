//! etcd's Maintenance service.

use std::pin::Pin;

use futures_util::Stream;
use proto::{
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse, DowngradeInfo,
        DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
        MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
        alarm_request::AlarmAction, downgrade_request::DowngradeAction, maintenance_server::Maintenance,
    },
    raftpb::{command, command_response},
};
use tonic::{Request, Response, Status};

use super::{ETCD_VERSION, FSYNC_P99_MICROS, Service, VERSION};
use crate::{Error, Proposal};

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        if request.action() == AlarmAction::Get {
            self.store.read_index().await?;
            let mut alarms = self.store.view().alarms().to_vec();
            if request.alarm() != AlarmType::None {
                alarms.retain(|member| member.alarm == request.alarm);
            }
            return Ok(Response::new(AlarmResponse { header: Some(self.store.header()), alarms }));
        }
        let response = self.store.propose(command::Body::Alarm(request), Proposal::default()).await?;
        let Some(command_response::Body::Alarm(AlarmResponse { alarms, .. })) = response.body else {
            return Err(Error::Internal("an answer of the wrong kind".to_owned()).into());
        };
        Ok(Response::new(AlarmResponse { header: Some(self.store.header()), alarms }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let mut status = self.store.status();
        if self.store.inner.lacks_leader() {
            status.leader = None;
        }
        let bytes = i64::try_from(status.state_bytes).unwrap_or(i64::MAX);
        let mut errors: Vec<_> = self.store.view().alarms().iter().map(alarm_text).collect();
        if status.corrupt {
            errors.push(Error::Corrupt.to_string());
        }
        if status.leader.is_none() {
            errors.push(Error::NoLeader.to_string());
        }
        let mut response = Response::new(StatusResponse {
            header: Some(self.store.header()),
            version: ETCD_VERSION.to_owned(),
            db_size: i64::try_from(status.disk_bytes).unwrap_or(i64::MAX).max(bytes),
            db_size_in_use: bytes,
            leader: status.leader.unwrap_or_default(),
            raft_index: status.committed_index,
            raft_term: status.term,
            raft_applied_index: status.applied_index,
            errors,
            is_learner: status.learner,
            storage_version: ETCD_VERSION.to_owned(),
            db_size_quota: i64::try_from(self.store.inner.config.limits.quota_bytes).unwrap_or(i64::MAX),
            downgrade_info: Some(DowngradeInfo::default()),
        });
        super::tell(&mut response, VERSION, &status.version);
        super::tell(&mut response, FSYNC_P99_MICROS, &status.fsync_p99.as_micros());
        Ok(response)
    }

    /// Gives back what deleted rows take on the disk; meanwhile everything goes on.
    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        let rewritten = self.store.inner.persistence.rewrite(self.store.view()).await;
        rewritten.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(DefragmentResponse { header: Some(self.store.header()) }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        Ok(Response::new(HashResponse { header: Some(self.store.header()), hash: short(self.store.view().hash()) }))
    }

    /// Of what can be read at the revision and before it, so that members at different revisions can be compared.
    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let view = self.store.view();
        let revision = view.state().mvcc.readable(request.into_inner().revision)?;
        let (present, compacted) = (view.revision(), view.compacted());
        // Every record is looked at, which would hold this thread's other requests up.
        let hash = self.store.inner.world.threads.run(move || view.hash_at(revision)).await;
        let hash = hash.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.header_at(present)),
            hash: short(hash),
            compact_revision: compacted,
            hash_revision: revision,
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

    /// There is one version of the store's data, so none to go back to.
    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.into_inner();
        match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) if is_version(&request.version) => {
                Err(Status::invalid_argument("etcdserver: invalid downgrade target version"))
            }
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {
                Err(Status::invalid_argument("etcdserver: wrong downgrade target version format"))
            }
            Ok(DowngradeAction::Cancel) => Err(Status::failed_precondition("etcdserver: no inflight downgrade job")),
            Err(_) => Err(Status::unknown("etcdserver: unknown method")),
        }
    }
}

/// As etcd's own text of an alarm, which its clients show as it is.
fn alarm_text(member: &AlarmMember) -> String {
    format!("memberID:{} alarm:{} ", member.member_id, member.alarm().as_str_name())
}

/// Whether the text is a version as etcd takes one: two or three numbers.
fn is_version(text: &str) -> bool {
    let numbers: Vec<_> = text.trim_start_matches('v').split('.').collect();
    (2..=3).contains(&numbers.len()) && numbers.iter().all(|number| number.parse::<u64>().is_ok())
}

#[allow(clippy::cast_possible_truncation, reason = "as many bits as the answer has room for")]
fn short(hash: u128) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_or_three_numbers() {
        assert!(["3.5", "3.5.1", "v3.4"].into_iter().all(is_version));
        assert!(!["", "3", "3.x", "a.b.c", "3.5.0.1", "3..5"].into_iter().any(is_version));
    }
}
