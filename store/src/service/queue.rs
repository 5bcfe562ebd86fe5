//! Waiting in line: what etcd's locks and elections have in common.
//!
//! Everybody who wants something puts a key of its own below the name; the key that was created first has it, and each
//! of the others waits for the one before it to go. A key hangs on its holder's lease, so it goes with its holder.

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader,
        TxnRequest, TxnResponse,
        compare::{CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};

use crate::{Error, KeyRange, Proposal, Store, WatchItem, WatchRange};

/// Of a lease that is granted for somebody who brings none, as etcd's sessions have it.
const SESSION_TTL_SECONDS: i64 = 60;

/// Everything that waits for one name.
#[derive(Clone)]
pub(super) struct Queue {
    store: Store,
    prefix: Bytes,
}

/// Somebody's place in the line. Given up when it is dropped before it is kept.
pub(super) struct Place {
    store: Store,
    pub(super) key: Bytes,
    pub(super) lease: i64,
    /// The revision that created the key.
    pub(super) revision: i64,
    /// What the key held already, when the place was taken before.
    pub(super) found: Option<KeyValue>,
    pub(super) header: Option<ResponseHeader>,
    first: bool,
    kept: bool,
}

impl Queue {
    pub(super) fn new(store: &Store, name: &[u8]) -> Self {
        Self { store: store.clone(), prefix: [name, b"/"].concat().into() }
    }

    fn range(&self) -> RangeRequest {
        let range_end = KeyRange::prefix(&self.prefix).requested_end();
        RangeRequest { key: self.prefix.clone(), range_end, limit: 1, ..RangeRequest::default() }
    }

    /// Whose turn it is.
    pub(super) fn first(&self) -> RangeRequest {
        RangeRequest { sort_order: SortOrder::Ascend.into(), sort_target: SortTarget::Create.into(), ..self.range() }
    }

    /// Takes a place, or finds the one that the lease has.
    pub(super) async fn enter(&self, lease: i64, value: Bytes) -> Result<Place, Error> {
        let lease = if lease == 0 { self.new_lease().await? } else { lease };
        let key = Bytes::from([&*self.prefix, hexadecimal(lease).as_bytes()].concat());
        let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
        let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let request = TxnRequest {
            compare: vec![created_at(&key, 0)],
            success: ops([Request::RequestPut(put), Request::RequestRange(self.first())]),
            failure: ops([Request::RequestRange(get), Request::RequestRange(self.first())]),
        };
        let TxnResponse { header, succeeded, responses } = self.store.txn(request, Proposal::default()).await?;
        let mut found = responses.into_iter().map(|op| match op.response {
            Some(Response::ResponseRange(mut range)) => range.kvs.pop(),
            _ => None,
        });
        let (mine, first) = (found.next().flatten(), found.next().flatten());
        let revision = match (&mine, &header) {
            (Some(kv), _) => kv.create_revision,
            (None, header) => header.as_ref().map_or(0, |header| header.revision),
        };
        let first = first.is_none_or(|first| first.create_revision == revision);
        // A place found belongs to an earlier call of the same session too: it is not this one's to give up.
        Ok(Place { store: self.store.clone(), key, lease, revision, found: mine, header, first, kept: !succeeded })
    }

    async fn new_lease(&self) -> Result<i64, Error> {
        Ok(self.store.lease_grant(LeaseGrantRequest { id: 0, ttl: SESSION_TTL_SECONDS }).await?.id)
    }

    /// Waits until everybody who came before is gone. `false` when the place itself is gone then: its lease ended.
    pub(super) async fn wait(&self, place: &mut Place) -> Result<bool, Error> {
        if place.first {
            return Ok(true);
        }
        loop {
            let before = RangeRequest {
                max_create_revision: place.revision - 1,
                sort_order: SortOrder::Descend.into(),
                sort_target: SortTarget::Create.into(),
                ..self.range()
            };
            let response = self.store.range(before).await?;
            let Some(last) = response.kvs.first() else { break };
            let seen = response.header.as_ref().map_or(0, |header| header.revision);
            self.wait_for_deletion(last.key.clone(), seen + 1).await?;
        }
        let own = RangeRequest { key: place.key.clone(), ..RangeRequest::default() };
        let response = self.store.range(own).await?;
        place.header = response.header;
        Ok(response.kvs.first().is_some_and(|kv| kv.create_revision == place.revision))
    }

    /// Returns too when the history was compacted meanwhile: the caller looks anyhow.
    async fn wait_for_deletion(&self, key: Bytes, start_revision: i64) -> Result<(), Error> {
        let mut watch = self.store.watch(WatchRange { key, start_revision, no_put: true, ..WatchRange::default() });
        match watch.next().await {
            Ok(WatchItem::Events(_) | WatchItem::Progress(_)) | Err(Error::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Place {
    /// The place outlives the call.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    /// The call ended early, mostly because the client is gone: those behind must not wait for it.
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (store, key, revision) = (self.store.clone(), std::mem::take(&mut self.key), self.revision);
        self.store.inner.spawn(async move {
            if let Err(error) = leave(&store, key, revision).await {
                tracing::debug!(%error, "a place in a queue is left to its lease");
            }
        });
    }
}

/// Deletes a place, unless it is somebody else's by now.
pub(super) async fn leave(store: &Store, key: Bytes, revision: i64) -> Result<TxnResponse, Error> {
    let compare = vec![created_at(&key, revision)];
    let delete = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
    let request = TxnRequest { compare, success: ops([Request::RequestDeleteRange(delete)]), failure: Vec::new() };
    store.txn(request, Proposal::default()).await
}

/// Changes what a place holds, unless it is somebody else's by now.
pub(super) async fn change(
    store: &Store,
    key: Bytes,
    revision: i64,
    lease: i64,
    value: Bytes,
) -> Result<TxnResponse, Error> {
    let compare = vec![created_at(&key, revision)];
    let put = PutRequest { key, value, lease, ..PutRequest::default() };
    let request = TxnRequest { compare, success: ops([Request::RequestPut(put)]), failure: Vec::new() };
    store.txn(request, Proposal::default()).await
}

fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        key: key.clone(),
        target: CompareTarget::Create.into(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Compare::default()
    }
}

fn ops<const N: usize>(requests: [Request; N]) -> Vec<RequestOp> {
    requests.into_iter().map(|request| RequestOp { request: Some(request) }).collect()
}

/// A lease as etcd's clients write it, sign included.
fn hexadecimal(lease: i64) -> String {
    let sign = if lease < 0 { "-" } else { "" };
    format!("{sign}{:x}", lease.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_written_as_by_etcd() {
        assert_eq!([hexadecimal(0x1f), hexadecimal(-0x1f)], ["1f", "-1f"]);
    }
}
