//! How far this member has applied the log, and who waits for it to come further.
//!
//! Each waiter is woken once, when its own entry has been applied: waking everybody at every step would cost more than applying.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::raft::state_machine::Applied;

/// Both ends.
#[derive(Debug)]
pub(crate) struct Progress {
    reached: watch::Sender<Applied>,
    waiting: Mutex<BTreeMap<u64, Vec<oneshot::Sender<()>>>>,
}

impl Progress {
    pub(crate) fn new(applied: Applied) -> Self {
        Self { reached: watch::Sender::new(applied), waiting: Mutex::default() }
    }

    /// The last applied entry.
    pub(crate) fn last(&self) -> Applied {
        *self.reached.borrow()
    }

    /// For those that follow every step.
    pub(crate) fn follow(&self) -> watch::Receiver<Applied> {
        self.reached.subscribe()
    }

    /// Readers see everything up to this entry from now on.
    pub(crate) fn advance(&self, applied: Applied) {
        self.reached.send_replace(applied);
        let mut waiting = self.waiting.lock();
        let later = waiting.split_off(&(applied.index + 1));
        let done = std::mem::replace(&mut *waiting, later);
        drop(waiting);
        for waiter in done.into_values().flatten() {
            // Whoever gave up does not want to know.
            waiter.send(()).ok();
        }
    }

    /// Returns once the entry has been applied.
    pub(crate) async fn wait(&self, index: u64) {
        if self.last().index >= index {
            return;
        }
        let applied = {
            let mut waiting = self.waiting.lock();
            // Once more, under the lock: what is applied from here on finds the waiter.
            if self.last().index >= index {
                return;
            }
            let (applied, wait) = oneshot::channel();
            let waiters = waiting.entry(index).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(applied);
            wait
        };
        // An error means that the machine is gone, and with it the store: the caller's deadline ends the wait.
        if applied.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_waiter_wakes_with_its_own_entry() {
        let progress = Arc::new(Progress::new(Applied { term: 1, index: 5 }));
        progress.wait(5).await;
        let (sixth, ninth) = (progress.wait(6), progress.wait(9));
        tokio::pin!(sixth, ninth);
        assert!(sixth.as_mut().now_or_never().is_none() && ninth.as_mut().now_or_never().is_none());
        progress.advance(Applied { term: 1, index: 8 });
        assert!(sixth.now_or_never().is_some() && ninth.as_mut().now_or_never().is_none());
        progress.advance(Applied { term: 2, index: 9 });
        assert!(ninth.now_or_never().is_some());
        assert_eq!((progress.last().index, progress.waiting.lock().len()), (9, 0));
    }
}
