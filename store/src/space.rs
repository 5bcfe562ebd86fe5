//! Room on the members' disks.
//!
//! Each member watches its own disk and tells the leader. While one of them has little room, an alarm for that member stands
//! in the replicated state: what makes the state grow is refused, before it is proposed; everything else goes on, out of
//! reserved segments of the log if need be. The alarm goes when there is room again, or when the member is gone.

use std::{
    collections::BTreeMap,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use proto::{etcdserverpb::AlarmType, raftpb::command};
use tokio::time::Instant;

use crate::{Error, command::grows, inner::Inner, membership::Request};

/// How often a member looks at its disk and tells the leader.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A report older than this says nothing.
const REPORT_LIFETIME: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Report {
    low: bool,
    at: Instant,
}

/// What a member knows of its own disk, and as the leader of the others'.
#[derive(Debug, Default)]
pub(crate) struct Space {
    low: AtomicBool,
    reports: Mutex<BTreeMap<u64, Report>>,
}

impl Space {
    /// Whether this member's disk has little room.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Takes a member's report.
    pub(crate) fn report(&self, member: u64, low: bool) {
        self.reports.lock().insert(member, Report { low, at: Instant::now() });
    }

    /// Whether each member's disk has little room, of those that said so lately.
    pub(crate) fn reports(&self) -> BTreeMap<u64, bool> {
        let mut reports = self.reports.lock();
        reports.retain(|_, report| report.at.elapsed() < REPORT_LIFETIME);
        reports.iter().map(|(member, report)| (*member, report.low)).collect()
    }
}

/// Looks at the disk until the store ends.
pub(crate) async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        let before = store.space.is_low();
        let low = is_low(&store, before).await;
        store.space.low.store(low, Ordering::Relaxed);
        match (before, low) {
            (false, true) => {
                tracing::warn!(dir = %store.config.dir.display(), "the disk has little room: writes that need more are refused")
            }
            (true, false) => tracing::info!(dir = %store.config.dir.display(), "the disk has room again"),
            _ => {}
        }
        let leader = store.leadership.borrow().leader;
        match leader {
            Some(leader) if leader == store.id() => store.space.report(leader, low),
            Some(leader) => drop(store.ask_manage(leader, &Request::Space { id: store.id(), low }).await),
            None => {}
        }
    }
}

async fn is_low(store: &Inner, before: bool) -> bool {
    let whole = store.wal.fill_reserve().await.unwrap_or_else(|error| {
        tracing::error!(%error, "the log's reserve cannot be filled");
        false
    });
    let least = store.config.limits.disk_free_min_bytes;
    // Somewhat more must be free again, so that the alarm does not come and go.
    let least = if before { least / 4 * 5 } else { least };
    let short = store.world.disk.free_bytes(&store.config.dir).is_some_and(|free| free < least);
    short || !whole
}

impl Inner {
    /// Refuses what needs room where there is none.
    pub(crate) fn check_space(&self, body: &command::Body) -> Result<(), Error> {
        let alarm = || self.state.view().alarms().iter().any(|alarm| alarm.alarm() == AlarmType::Nospace);
        if grows(body) && (self.space.is_low() || alarm()) { Err(Error::NoSpace) } else { Ok(()) }
    }
}
