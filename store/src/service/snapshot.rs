//! A snapshot for a client: the whole state, as the members send it to each other.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use proto::etcdserverpb::SnapshotResponse;
use tonic::{Response, Status};

use super::{ETCD_VERSION, SNAPSHOT_UP_TO_DATE};
use crate::{Store, raft::snapshot::blocks};

/// How long a quorum is waited for. Without one, a snapshot of what this member has is worth more than none.
const QUORUM_WAIT: Duration = Duration::from_secs(2);

/// The stream of one snapshot. Its metadata say whether it holds every write acknowledged before the request.
pub(super) async fn stream(
    store: &Store,
) -> Response<Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>> {
    let up_to_date = store.inner.read_barrier(QUORUM_WAIT).await.is_ok();
    let source = store.inner.persistence.source(store.view());
    let header = store.header();
    let pieces = blocks(source, store.inner.persistence.threads()).map(move |block| {
        let blob = block.map_err(|error| Status::internal(error.to_string()))?;
        let version = ETCD_VERSION.to_owned();
        Ok(SnapshotResponse { header: Some(header), remaining_bytes: 0, blob, version })
    });
    let mut response = Response::new(Box::pin(pieces) as Pin<Box<_>>);
    super::tell(&mut response, SNAPSHOT_UP_TO_DATE, &up_to_date);
    response
}
