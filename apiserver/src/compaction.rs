//! Old revisions are forgotten after a while, by the master that acts; so watches and paged lists can lag this long.

use std::time::Duration;

use store::etcdserverpb::CompactionRequest;

use crate::server::Server;

/// What is older than between one and two of these is forgotten.
const INTERVAL: Duration = Duration::from_secs(300);

/// Compacts the store now and then until shutdown.
pub(crate) async fn run(server: &Server) {
    let store = server.storage.store();
    let mut before = store.view().revision();
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let view = store.view();
        let acting = store.leadership().borrow().acting;
        if acting && before > view.compacted() {
            let request = CompactionRequest { revision: before, physical: false };
            if let Err(error) = store.compact(request).await {
                tracing::warn!(%error, revision = before, "cannot compact the store");
            }
        }
        before = view.revision();
    }
}
