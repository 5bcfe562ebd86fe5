//! Frees disk space when it gets short: images that no pod of this node uses go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::node_status::{Amounts, amounts};
use crate::pod::context::Context;

const INTERVAL: Duration = Duration::from_secs(60);
/// Above this share of the disk in use, images are collected; well before the disk counts as under pressure.
const HIGH_PERCENT: i64 = 85;

/// Looks at the disk once a minute until `shutdown`.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
        if !is_short(&amounts(&context.config.dir)) {
            continue;
        }
        let records = context.runtime.pods().into_iter().flat_map(|sandbox| sandbox.containers);
        let in_use: HashSet<String> = records.map(|record| record.image_id).collect();
        match context.images.collect(&in_use).await {
            Ok(bytes) => tracing::info!(bytes, "the disk is nearly full: unused images were removed"),
            Err(error) => tracing::warn!(%error, "cannot remove unused images"),
        }
    }
}

fn is_short(amounts: &Amounts) -> bool {
    let used = amounts.storage.saturating_sub(amounts.storage_available);
    used > amounts.storage / 100 * HIGH_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_means_above_the_mark() {
        let of = |available| Amounts { storage: 1000, storage_available: available, ..Amounts::default() };
        assert!(!is_short(&of(500)));
        assert!(!is_short(&of(150)));
        assert!(is_short(&of(149)));
    }
}
