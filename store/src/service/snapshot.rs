//! A snapshot for a client: the whole state, as the members send it to each other.

use std::{future::ready, io, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::etcdserverpb::SnapshotResponse;
use tonic::{Response, Status};

use super::{ETCD_VERSION, SNAPSHOT_UP_TO_DATE};
use crate::{Store, raft::snapshot::blocks, snapshot::seal::Sealer};

/// How long a quorum is waited for. Without one, a snapshot of what this member has is worth more than none.
const QUORUM_WAIT: Duration = Duration::from_secs(2);

/// The stream of one snapshot. Its metadata say whether it holds every write acknowledged before the request.
pub(super) async fn stream(
    store: &Store,
) -> Response<Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>> {
    let up_to_date = store.inner.read_barrier(QUORUM_WAIT).await.is_ok();
    let view = store.view();
    let expected = view.bytes();
    let source = store.inner.persistence.source(view);
    let header = store.header();
    let blocks = blocks(source, store.inner.world.threads);
    let pieces = sealed(blocks).scan(0, move |sent, piece| {
        let piece = piece.map(|(blob, last)| {
            *sent += blob.len() as u64;
            // How well it packs is not known beforehand: clients want to see that there is more, and the end.
            let remaining_bytes = if last { 0 } else { expected.saturating_sub(*sent).max(1) };
            SnapshotResponse { header: Some(header), remaining_bytes, blob, version: ETCD_VERSION.to_owned() }
        });
        ready(Some(piece.map_err(|error| Status::internal(error.to_string()))))
    });
    let mut response = Response::new(Box::pin(pieces) as Pin<Box<_>>);
    super::tell(&mut response, SNAPSHOT_UP_TO_DATE, &up_to_date);
    response
}

/// The blocks, and then the seal by which etcd's clients know that they have everything.
fn sealed(
    blocks: impl Stream<Item = io::Result<Bytes>> + Send,
) -> impl Stream<Item = io::Result<(Bytes, bool)>> + Send {
    let ends = blocks.map(Some).chain(stream::iter([None]));
    ends.scan(Some(Sealer::default()), |sealer, block| {
        let piece = match (block, sealer.as_mut()) {
            (Some(Ok(block)), Some(sealer)) => {
                sealer.take(&block);
                Some(Ok((block, false)))
            }
            (Some(Err(error)), _) => {
                *sealer = None;
                Some(Err(error))
            }
            (None, _) => sealer.take().map(|sealer| Ok((sealer.seal(), true))),
            (Some(Ok(_)), None) => None,
        };
        ready(piece)
    })
}
