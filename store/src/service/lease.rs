//! etcd's Lease service.

use std::pin::Pin;

use futures_util::{Stream, stream};
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    lease_server::Lease,
};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, leader::LeaderRequired};
use crate::Store;

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        Ok(Response::new(self.store.lease_grant(request.into_inner()).await?))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        Ok(Response::new(self.store.lease_revoke(request.into_inner().id).await?))
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let leader = LeaderRequired::new(&self.store, request.metadata());
        let session = Some((self.store.clone(), request.into_inner(), leader));
        let answers = stream::unfold(session, |session| async {
            let (store, mut requests, mut leader) = session?;
            let answer = tokio::select! {
                biased;
                answer = answer(&store, &mut requests) => answer?,
                status = leader.lost() => Err(status),
            };
            let rest = answer.is_ok().then_some((store, requests, leader));
            Some((answer, rest))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        Ok(Response::new(self.store.lease_time_to_live(request.into_inner()).await?))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Result<Response<LeaseLeasesResponse>, Status> {
        Ok(Response::new(self.store.leases().await?))
    }
}

/// The answer to the next renewal; none when the client has ended the stream.
async fn answer(
    store: &Store,
    requests: &mut Streaming<LeaseKeepAliveRequest>,
) -> Option<Result<LeaseKeepAliveResponse, Status>> {
    let request = match requests.message().await {
        Ok(request) => request?,
        Err(status) => return Some(Err(status)),
    };
    Some(store.lease_keep_alive(request.id).await.map_err(Status::from))
}
