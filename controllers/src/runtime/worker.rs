//! One controller at work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::surroundings::Planted;
use client::{EventRecorder, WorkQueue};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::apply_plan::{Failure, apply_plan};
use super::expectations::Expectations;
use super::{Acting, Context, Controller, Item};

/// A local cache shows a write within a few milliseconds.
const RECHECK: Duration = Duration::from_millis(10);
/// Whoever waits for a time of day looks at the clock again this often: it may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct Runner {
    controller: &'static Controller,
    acting: Arc<Acting>,
    queue: WorkQueue<Item>,
    recorder: EventRecorder,
    expectations: Expectations,
    failures: Mutex<BTreeMap<Item, Failure>>,
}

impl Runner {
    pub(super) fn new(
        controller: &'static Controller,
        acting: Arc<Acting>,
        queue: WorkQueue<Item>,
        recorder: EventRecorder,
    ) -> Self {
        let (expectations, failures) = (Expectations::default(), Mutex::default());
        Self { controller, acting, queue, recorder, expectations, failures }
    }

    /// Works until a worker breaks.
    pub(super) async fn run(self) {
        for watch in self.controller.watches {
            if let Some(resource) = &watch.resource {
                self.acting.caches.of(resource).synced().await;
            }
        }
        let workers = self.controller.workers;
        let runner = Arc::new(self);
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let runner = runner.clone();
            tasks.spawn(async move { runner.work().await });
        }
        if let Some(Err(error)) = tasks.join_next().await {
            tracing::error!(controller = runner.controller.name, %error, "a worker broke");
        }
    }

    async fn work(&self) {
        loop {
            let item = self.queue.get().await;
            let forgets = self.acting.surroundings.has(Planted::ForgetOwnWrites);
            if forgets || self.expectations.met(&item, &self.acting.caches) {
                self.look(&item).await;
            } else {
                self.queue.add_after(item.clone(), RECHECK);
            }
            self.queue.done(&item);
        }
    }

    async fn look(&self, item: &Item) {
        let acting = &self.acting;
        let context = Context {
            caches: &acting.caches,
            surroundings: &acting.surroundings,
            settings: &acting.settings,
            now: acting.surroundings.now(),
            instant: Instant::now(),
            watching_since: *acting.watching_since.lock(),
            seed: acting.surroundings.random(),
            last_failure: self.failures.lock().get(item).cloned(),
        };
        let plan = (self.controller.reconcile)(&context, item);
        let wake_after = plan.wake_after;
        let applied = apply_plan(&acting.client, &self.recorder, plan).await;
        self.expectations.add(item, applied.expected);
        match applied.failure {
            None => {
                self.failures.lock().remove(item);
                self.queue.forget(item);
                if let Some(after) = wake_after {
                    self.queue.add_after(item.clone(), after.min(LOOK_AGAIN));
                }
            }
            Some(failure) => {
                let again = self.queue.add_rate_limited(item.clone());
                let controller = self.controller.name;
                tracing::debug!(controller, key = %item.key, %failure, ?again, "a plan failed");
                self.failures.lock().insert(item.clone(), failure);
            }
        }
    }
}
