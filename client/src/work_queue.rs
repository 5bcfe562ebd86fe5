//! A queue of keys to look at: each at most once in the queue, never handed to two workers at a time.
//!
//! A key added while a worker holds it comes back when the worker is done. Delays and the back-off of failing keys live
//! here too. Since a key carries no payload and stands in the queue once, the queue is never longer than the number of
//! objects there are: that is its bound.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long a failing key waits: doubling from `first` to `most`.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), most: Duration::from_secs(60) }
    }
}

/// The queue. Cheap to clone; clones share it.
pub struct WorkQueue<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for WorkQueue<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<T> {
    back_off: BackOff,
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    /// In `ready`, or to be put there when its worker is done.
    dirty: BTreeSet<T>,
    processing: BTreeSet<T>,
    delayed: BTreeSet<(Instant, T)>,
    due: BTreeMap<T, Instant>,
    failures: BTreeMap<T, u32>,
}

impl<T: Ord + Clone> WorkQueue<T> {
    /// An empty queue.
    pub fn new(back_off: BackOff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: BTreeSet::new(),
            processing: BTreeSet::new(),
            delayed: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self { inner: Arc::new(Inner { back_off, state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Asks for a look at `key`, now.
    pub fn add(&self, key: T) {
        self.inner.state.lock().add(key);
        self.inner.changed.notify_one();
    }

    /// Asks for a look at `key` after `delay`; an earlier appointment stands. Beyond what the clock can tell is never.
    pub fn add_after(&self, key: T, delay: Duration) {
        let Some(at) = Instant::now().checked_add(delay) else { return };
        self.inner.state.lock().schedule(key, at);
        self.inner.changed.notify_one();
    }

    /// Asks for a look after the back-off of a key that failed once more. Returns the delay.
    pub fn add_rate_limited(&self, key: T) -> Duration {
        let mut state = self.inner.state.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        let exponent = (*failures).min(20);
        *failures = failures.saturating_add(1);
        drop(state);
        let delay = self.inner.back_off.first.saturating_mul(1 << exponent).min(self.inner.back_off.most);
        self.add_after(key, delay);
        delay
    }

    /// The key did well: its next failure is its first.
    pub fn forget(&self, key: &T) {
        self.inner.state.lock().failures.remove(key);
    }

    /// The next key. The caller says [`WorkQueue::done`] when it has looked.
    pub async fn get(&self) -> T {
        loop {
            let next = {
                let mut state = self.inner.state.lock();
                state.promote(Instant::now());
                if let Some(key) = state.pop() {
                    if !state.ready.is_empty() {
                        self.inner.changed.notify_one();
                    }
                    return key;
                }
                state.delayed.first().map(|(at, _)| *at)
            };
            let changed = self.inner.changed.notified();
            match next {
                None => changed.await,
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
            }
        }
    }

    /// The worker that got `key` is finished with it.
    pub fn done(&self, key: &T) {
        let mut state = self.inner.state.lock();
        state.processing.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.inner.changed.notify_one();
        }
    }

    /// Keys ready or waiting for their worker.
    pub fn len(&self) -> usize {
        self.inner.state.lock().dirty.len()
    }

    /// True when no key is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Ord + Clone> State<T> {
    fn add(&mut self, key: T) {
        if !self.dirty.insert(key.clone()) {
            return;
        }
        if !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn schedule(&mut self, key: T, at: Instant) {
        match self.due.get(&key).copied() {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                self.delayed.remove(&(later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key));
    }

    fn promote(&mut self, now: Instant) {
        while let Some((at, _)) = self.delayed.first() {
            if *at > now {
                return;
            }
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }

    fn pop(&mut self) -> Option<T> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.processing.insert(key.clone());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue<&'static str> {
        WorkQueue::new(BackOff { first: Duration::from_millis(1), most: Duration::from_millis(5) })
    }

    fn is_quiet(queue: &WorkQueue<&'static str>) -> bool {
        queue.inner.state.lock().ready.is_empty()
    }

    #[tokio::test]
    async fn a_key_is_queued_once_and_comes_back_when_added_meanwhile() {
        let queue = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.get().await, "a");
        assert!(is_quiet(&queue));
        queue.add("a");
        assert!(is_quiet(&queue), "its worker is not done");
        queue.done(&"a");
        assert_eq!(queue.get().await, "a");
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_further_away_than_the_clock_can_tell_is_no_appointment() {
        let queue = queue();
        queue.add_after("never", Duration::MAX);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_earliest_appointment_stands() {
        let queue = queue();
        let mut state = queue.inner.state.lock();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for seconds in [9, 3, 5] {
            state.schedule("a", at(seconds));
        }
        state.promote(at(2));
        assert!(state.ready.is_empty());
        state.promote(at(3));
        assert_eq!(state.ready, ["a"]);
        assert!(state.delayed.is_empty() && state.due.is_empty());
    }

    #[tokio::test]
    async fn failures_double_the_delay_up_to_the_most_and_are_forgotten() {
        let queue = queue();
        let mut delays = Vec::new();
        for _ in 0..4 {
            delays.push(queue.add_rate_limited("a").as_millis());
            queue.get().await;
            queue.done(&"a");
        }
        assert_eq!(delays, [1, 2, 4, 5]);
        queue.forget(&"a");
        assert_eq!(queue.add_rate_limited("a").as_millis(), 1);
    }
}
