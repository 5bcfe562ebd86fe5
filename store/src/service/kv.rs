//! etcd's KV service.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, stream};
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse,
    kv_server::Kv,
    range_request::{SortOrder, SortTarget},
};
use tonic::{Request, Response, Status};

use super::{Service, stamp::proposal};
use crate::{KeyRange, View, command::validate_range};

/// Bytes of keys and values in one part of a streamed range.
const PART_BYTES: usize = 1024 * 1024;

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        Ok(Response::new(self.store.range(request.into_inner()).await?))
    }

    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

    /// One moment's keys in parts: what is written meanwhile is not in them.
    async fn range_stream(&self, request: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        let request = request.into_inner();
        validate_range(&request)?;
        refuse_other_orders(&request)?;
        if !request.serializable {
            self.store.read_index().await?;
        }
        let parts = Parts::new(self.clone(), self.store.view(), &request)?;
        let parts = stream::unfold(Some(parts), |parts| async {
            let mut parts = parts?;
            let (part, last) = parts.next();
            Some((Ok(RangeStreamResponse { range_response: Some(part) }), (!last).then_some(parts)))
        });
        Ok(Response::new(Box::pin(parts)))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let proposal = proposal(request.metadata())?;
        Ok(Response::new(self.store.put(request.into_inner(), proposal).await?))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let proposal = proposal(request.metadata())?;
        Ok(Response::new(self.store.delete_range(request.into_inner(), proposal).await?))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let proposal = proposal(request.metadata())?;
        Ok(Response::new(self.store.txn(request.into_inner(), proposal).await?))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        Ok(Response::new(self.store.compact(request.into_inner()).await?))
    }
}

/// As in etcd: a stream comes in the order of the keys, and takes no revision filters.
fn refuse_other_orders(request: &RangeRequest) -> Result<(), Status> {
    let (order, target) = (request.sort_order(), request.sort_target());
    if order != SortOrder::None && !(target == SortTarget::Key && order == SortOrder::Ascend) {
        return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
    }
    let RangeRequest { min_mod_revision, max_mod_revision, min_create_revision, max_create_revision, .. } = request;
    if [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision].iter().any(|bound| **bound != 0) {
        return Err(Status::unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

/// A range on its way out.
struct Parts {
    service: Service,
    view: View,
    revision: i64,
    range: KeyRange,
    /// The keys of the range that are still to come, whatever the limit.
    remaining: usize,
    limit: usize,
    count: i64,
    count_only: bool,
    keys_only: bool,
}

impl Parts {
    fn new(service: Service, view: View, request: &RangeRequest) -> Result<Self, Status> {
        let revision = view.state().mvcc.readable(request.revision)?;
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        let count = view.state().mvcc.count(&range, revision);
        Ok(Self {
            service,
            view,
            revision,
            range,
            remaining: count,
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX),
            count: i64::try_from(count).unwrap_or(i64::MAX),
            count_only: request.count_only,
            keys_only: request.keys_only,
        })
    }

    /// The next part, and whether it is the last one: that one says what is known of the whole.
    fn next(&mut self) -> (RangeResponse, bool) {
        let mut part = RangeResponse::default();
        if !self.count_only {
            let mut bytes = 0;
            for record in self.view.state().mvcc.iter_at(&self.range, self.revision).take(self.limit) {
                let mut kv = record.kv.clone();
                if self.keys_only {
                    kv.value = Bytes::new();
                }
                bytes += kv.encoded_len();
                part.kvs.push(kv);
                if bytes >= PART_BYTES {
                    break;
                }
            }
            self.limit -= part.kvs.len();
            self.remaining -= part.kvs.len();
        }
        let last = self.count_only || self.limit == 0 || self.remaining == 0;
        if last {
            part.header = Some(self.service.header_at(self.view.revision()));
            part.more = !self.count_only && self.remaining > 0;
            part.count = self.count;
        } else if let Some(kv) = part.kvs.last() {
            let after = [&*kv.key, &[0]].concat();
            self.range = self.range.clone().from(&after);
        }
        (part, last)
    }
}
