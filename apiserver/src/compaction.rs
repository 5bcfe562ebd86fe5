//! Old revisions are forgotten after a while, by the master that acts; so watches and paged lists can lag this long.

use std::time::Duration;

use store::etcdserverpb::CompactionRequest;
use tokio::time::Instant;

use crate::server::Server;

/// What is older than between one and two of these is forgotten.
const INTERVAL: Duration = Duration::from_secs(300);
/// In a busy store history is shorter: every revision of it is kept in memory.
const REVISIONS_MAX: i64 = 500_000;
/// How often the number of revisions is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Compacts the store now and then until shutdown.
pub(crate) async fn run(server: &Server) {
    let store = server.storage.store();
    let mut history = History { before: store.view().revision(), noted: Instant::now() };
    let mut ticks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let view = store.view();
        let due = history.due(view.revision(), view.compacted(), Instant::now());
        let acting = store.leadership().borrow().acting;
        if let Some(revision) = due.filter(|_| acting) {
            let request = CompactionRequest { revision, physical: false };
            if let Err(error) = store.compact(request).await {
                tracing::warn!(%error, revision, "cannot compact the store");
            }
        }
    }
}

/// What was the present some time ago.
struct History {
    before: i64,
    noted: Instant,
}

impl History {
    /// Up to where history is to be forgotten now.
    fn due(&mut self, revision: i64, compacted: i64, now: Instant) -> Option<i64> {
        let old = (now >= self.noted + INTERVAL).then(|| {
            self.noted = now;
            std::mem::replace(&mut self.before, revision)
        });
        let many = (revision - compacted > REVISIONS_MAX).then_some(revision - REVISIONS_MAX / 2);
        old.max(many).filter(|upto| *upto > compacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_short_in_time_and_in_number() {
        let start = Instant::now();
        let mut history = History { before: 10, noted: start };
        let steps = [
            (1, 20, 0, None),
            // The present of five minutes ago.
            (300, 30, 0, Some(10)),
            (301, 40, 10, None),
            (600, 40, 10, Some(30)),
            // Nothing has happened since.
            (900, 40, 40, None),
            (905, 40 + REVISIONS_MAX, 40, None),
            (910, 41 + REVISIONS_MAX, 40, Some(41 + REVISIONS_MAX / 2)),
        ];
        for (second, revision, compacted, due) in steps {
            let now = start + Duration::from_secs(second);
            assert_eq!(history.due(revision, compacted, now), due, "after {second} s");
        }
    }
}
