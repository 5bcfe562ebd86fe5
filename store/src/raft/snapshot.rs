//! A whole state on its way to another member.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Blocks between their producer and the connection; one is 256 KiB before compression.
const BLOCKS_AHEAD: usize = 4;

use crate::world::Threads;
pub(crate) use crate::{persistence::Received, snapshot::SnapshotSource};

/// The blocks of the state, compressed on a thread of their own, if there is one, and only as fast as they are sent.
pub(crate) fn blocks(
    source: SnapshotSource,
    threads: Threads,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    if threads == Threads::None {
        return stream::iter(source).left_stream();
    }
    let (queue, blocks) = mpsc::channel(BLOCKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        for block in source {
            let failed = block.is_err();
            if queue.blocking_send(block).is_err() || failed {
                return;
            }
        }
    });
    ReceiverStream::new(blocks).right_stream()
}
