//! Keeps the log short and a restart quick, on every member.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{departure::Departure, inner::Inner, state_machine::Position};

/// How often the member looks.
const TICK: Duration = Duration::from_millis(500);
/// Between two checkpoints, unless much is written.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// A checkpoint takes a fifth of one core at most: after each, four times its duration of rest.
const REST_FACTOR: u32 = 4;

struct Upkeep {
    checkpointed: Option<Position>,
    checkpointed_at: Instant,
    log_bytes: u64,
    rest_until: Instant,
}

/// Checkpoints, snapshot files and the purging of the log.
pub(crate) async fn run(store: Weak<Inner>) {
    let now = Instant::now();
    let mut upkeep = Upkeep { checkpointed: None, checkpointed_at: now, log_bytes: 0, rest_until: now };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        if store.state.is_corrupt() {
            // It must neither answer nor vote any more.
            return store.depart(Departure::Corrupt).await;
        }
        upkeep.checkpoint(&store).await;
        shorten_log(&store).await;
    }
}

impl Upkeep {
    async fn checkpoint(&mut self, store: &Arc<Inner>) {
        // Nothing depends on it, and whatever room there is belongs to the log.
        if store.space.is_low() {
            return;
        }
        let view = store.state.view();
        let log_bytes = store.wal.retained_bytes();
        let much = log_bytes.saturating_sub(self.log_bytes) > store.config.limits.checkpoint_bytes;
        let now = Instant::now();
        let due = much || now > self.checkpointed_at + CHECKPOINT_EVERY;
        if !due || now < self.rest_until || view.position() == self.checkpointed {
            return;
        }
        let position = view.position();
        let sparse = store.persistence.is_sparse(&view, store.config.limits.checkpoint_bytes);
        let written = match sparse {
            true => store.persistence.rewrite(view).await,
            false => store.persistence.checkpoint(view).await,
        };
        if let Err(error) = written {
            tracing::error!(%error, "a checkpoint failed; a restart will replay more of the log");
            self.rest_until = now + CHECKPOINT_EVERY;
            return;
        }
        *self = Self {
            checkpointed: position,
            checkpointed_at: now,
            log_bytes,
            rest_until: now + now.elapsed() * REST_FACTOR,
        };
    }
}

/// When the log has grown, a snapshot file is written; what the file holds may go, but for a part that members a little
/// behind can still be served from.
async fn shorten_log(store: &Inner) {
    let limits = store.config.limits;
    let bytes = store.state.view().bytes();
    let threshold = limits.log_bytes_max.max(bytes / 2);
    if store.wal.retained_bytes() < threshold {
        return;
    }
    let applied = store.applied.last().index;
    let keep_after = store.wal.position_before_last_bytes(limits.log_bytes_keep).map(|position| position.index);
    let Some(upto) = keep_after.filter(|upto| *upto < applied) else { return };
    let ended = match store.persistence.saved() {
        Some(saved) if saved.index >= upto => store.raft.trigger().purge_log(upto).await,
        // The file is smaller than the state, which is compressed in it.
        _ if store.world.disk.free_bytes(&store.config.dir).is_some_and(|free| free < bytes) => return,
        _ => store.raft.trigger().snapshot().await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "the log cannot be shortened");
    }
}
