//! The stamps of the requests this member has accepted.
//!
//! A stamp is (session, sequence): the session is one run of this member. The state machine answers a repeated stamp with the
//! first answer and refuses one below the mark, so that a request given up can never be applied later.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ANSWERS_PER_SESSION_MAX;

/// Requests under way at once. Half of what the state machine remembers, so that a mark that is late by one request's
/// deadline costs no answer.
const UNDER_WAY_MAX: usize = ANSWERS_PER_SESSION_MAX / 2;

/// The requests under way.
pub(crate) struct Proposals {
    session: u64,
    slots: Semaphore,
    state: Mutex<State>,
}

struct State {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// One request under way; its stamp is settled when this is dropped.
pub(crate) struct Stamp<'a> {
    proposals: &'a Proposals,
    _slot: SemaphorePermit<'a>,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) acknowledged_below: u64,
}

impl Proposals {
    pub(crate) fn new(session: u64) -> Self {
        let state = State { next: 1, under_way: BTreeSet::new() };
        Self { session, slots: Semaphore::new(UNDER_WAY_MAX), state: Mutex::new(state) }
    }

    /// The next stamp, once there is room; `None` when the store stops.
    pub(crate) async fn stamp(&self) -> Option<Stamp<'_>> {
        let slot = self.slots.acquire().await.ok()?;
        let mut state = self.state.lock();
        let sequence = state.next;
        state.next += 1;
        state.under_way.insert(sequence);
        let acknowledged_below = state.under_way.first().copied().unwrap_or(sequence);
        Some(Stamp { proposals: self, _slot: slot, session: self.session, sequence, acknowledged_below })
    }

    /// How many requests are under way.
    pub(crate) fn under_way(&self) -> u64 {
        self.state.lock().under_way.len() as u64
    }

    pub(crate) fn close(&self) {
        self.slots.close();
    }
}

impl Drop for Stamp<'_> {
    fn drop(&mut self) {
        self.proposals.state.lock().under_way.remove(&self.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_mark_follows_the_oldest_request_under_way() {
        let proposals = Proposals::new(9);
        let first = proposals.stamp().await.unwrap();
        let second = proposals.stamp().await.unwrap();
        assert_eq!((second.session, second.sequence, second.acknowledged_below), (9, 2, 1));
        drop(first);
        let third = proposals.stamp().await.unwrap();
        assert_eq!((third.sequence, third.acknowledged_below), (3, 2));
        drop((second, third));
        assert_eq!(proposals.stamp().await.unwrap().acknowledged_below, 4);
    }

    #[tokio::test]
    async fn requests_under_way_are_bounded() {
        let proposals = Proposals::new(1);
        let mut stamps = Vec::new();
        for _ in 0..UNDER_WAY_MAX {
            stamps.push(proposals.stamp().await.unwrap());
        }
        // Tokio makes a task that has taken this many at once pause, which is not what is tested.
        let at_once = || futures_util::FutureExt::now_or_never(tokio::task::unconstrained(proposals.stamp()));
        assert!(at_once().is_none());
        stamps.pop();
        assert!(at_once().is_some());
        proposals.close();
        assert!(proposals.stamp().await.is_none());
    }
}
