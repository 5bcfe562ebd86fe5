//! etcd's Lock service: a name that one lease holds at a time.

use bytes::Bytes;
use proto::{
    etcdserverpb::DeleteRangeRequest,
    v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_server::Lock},
};
use tonic::{Request, Response, Status};

use super::{Service, queue::Queue};
use crate::Proposal;

#[tonic::async_trait]
impl Lock for Service {
    /// Waits for its turn. A client that goes away meanwhile gives its place up.
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let LockRequest { name, lease } = request.into_inner();
        let queue = Queue::new(&self.store, &name);
        let mut place = queue.enter(lease, Bytes::new()).await?;
        if !queue.wait(&mut place).await? {
            return Err(Status::unknown("mutex: session is expired"));
        }
        place.keep();
        let mut header = place.header;
        self.store.sign(&mut header);
        Ok(Response::new(LockResponse { header, key: place.key.clone() }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let delete = DeleteRangeRequest { key: request.into_inner().key, ..DeleteRangeRequest::default() };
        let response = self.store.delete_range(delete, Proposal::default()).await?;
        Ok(Response::new(UnlockResponse { header: response.header }))
    }
}
