//! Connections that are there before they are needed.
//!
//! Two followers have nothing to say to each other until their leader is gone; then votes, entries and proposals must not wait
//! for handshakes. So every member greets every other one now and then.

use std::{sync::Weak, time::Duration};

use proto::raftpb::Frame;
use tokio::time::MissedTickBehavior;

use crate::{inner::Inner, raft::network::CallKind, world::Traffic};

/// How often members greet each other: a connection that was lost is back after this long.
const GREET_EVERY: Duration = Duration::from_secs(1);

/// Greets all members until the store ends.
pub(crate) async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(GREET_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        let others = store.nodes().into_keys().filter(|id| *id != store.id());
        let greetings = others.flat_map(|id| [(id, Traffic::Control), (id, Traffic::Bulk)]).map(|(id, traffic)| {
            let client = store.client(id, traffic);
            async move {
                let mut client = client?;
                let hello = Frame { kind: CallKind::Hello as u32, body: bytes::Bytes::new() };
                // Who does not answer now is greeted again; who needs an answer asks by itself.
                tokio::time::timeout(GREET_EVERY, client.call(hello)).await.ok()?.ok()
            }
        });
        futures_util::future::join_all(greetings).await;
    }
}
