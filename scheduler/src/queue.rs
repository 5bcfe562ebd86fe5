//! What to look at next.
//!
//! *Active* pods by priority and arrival; pods that just failed wait out their *back-off*; pods that fit nowhere are
//! *unschedulable* until something changes that one of the plugins that refused them cares about. Nothing is retried
//! only because time passed, except after five minutes, in case a change was missed.
//! Purely data: the clock comes in as a parameter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::Key;
use tokio::time::Instant;

use crate::plugin::Change;
use crate::plugins::FILTERS;

const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

/// A pod in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which pod.
    pub key: Key,
    /// Its identity.
    pub uid: Box<str>,
    /// Higher first.
    pub priority: i32,
    /// How often it was tried.
    pub attempts: u32,
    arrival: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Queue {
    pods: BTreeMap<Box<str>, (Queued, Place)>,
    active: BTreeSet<(Reverse<i32>, u64, Box<str>)>,
    back_off: BTreeSet<(Instant, Box<str>)>,
    unschedulable: BTreeMap<Box<str>, Refused>,
    arrivals: u64,
    /// Counts the changes, so that one that happens during a cycle is not lost on its pod.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    BackOff(Instant),
    Unschedulable,
    /// A cycle or a binding holds it; with the count of changes at its begin.
    InFlight(u64),
}

struct Refused {
    plugins: BTreeSet<&'static str>,
    since: Instant,
    back_off_ends: Instant,
}

impl Queue {
    /// A pod waits for a node. Known ones stay where they are.
    pub fn add(&mut self, key: Key, uid: &str, priority: i32) {
        if let Some((queued, _)) = self.pods.get(uid)
            && queued.priority == priority
        {
            return;
        }
        let before = self.detach(uid);
        self.arrivals += 1;
        let attempts = before.map_or(0, |(queued, _)| queued.attempts);
        let queued = Queued { key, uid: uid.into(), priority, attempts, arrival: self.arrivals };
        self.activate(queued);
    }

    /// A pod no longer waits: it was bound or is gone.
    pub fn remove(&mut self, uid: &str) {
        self.detach(uid);
    }

    /// The next pod to try.
    pub fn pop(&mut self, now: Instant) -> Option<Queued> {
        self.promote(now);
        let (_, _, uid) = self.active.pop_first()?;
        let (queued, place) = self.pods.get_mut(&uid)?;
        *place = Place::InFlight(self.changes);
        queued.attempts += 1;
        Some(queued.clone())
    }

    /// When [`Queue::pop`] may have something again, if nothing changes.
    pub fn next_wake(&self) -> Option<Instant> {
        let waiting = self.unschedulable.values().map(|refused| refused.since + UNSCHEDULABLE_MAX);
        self.back_off.first().map(|(at, _)| *at).into_iter().chain(waiting.min()).min()
    }

    /// The cycle found no node: it waits for a change.
    pub fn refuse(&mut self, uid: &str, plugins: BTreeSet<&'static str>, now: Instant) {
        let Some((queued, place)) = self.pods.get(uid) else { return };
        let Place::InFlight(seen) = *place else { return };
        let back_off_ends = now + back_off(queued.attempts);
        if seen != self.changes {
            return self.wait(uid, back_off_ends);
        }
        self.unschedulable.insert(uid.into(), Refused { plugins, since: now, back_off_ends });
        self.set(uid, Place::Unschedulable);
    }

    /// The attempt failed for a reason that has nothing to do with the cluster: it is tried again.
    pub fn retry(&mut self, uid: &str, now: Instant) {
        if let Some((queued, Place::InFlight(_))) = self.pods.get(uid) {
            let ends = now + back_off(queued.attempts);
            self.wait(uid, ends);
        }
    }

    /// Something changed: pods refused by a plugin that cares are tried again, after their back-off.
    pub fn changed(&mut self, change: Change, now: Instant) {
        self.changes += 1;
        let cares =
            |name: &&'static str| FILTERS.iter().any(|filter| filter.name() == *name && filter.wakes_on(change));
        let nowhere = |refused: &Refused| refused.plugins.is_empty() && change == Change::NodeAdded;
        let woken =
            self.unschedulable.iter().filter(|(_, refused)| refused.plugins.iter().any(cares) || nowhere(refused));
        let woken: Vec<(Box<str>, Instant)> =
            woken.map(|(uid, refused)| (uid.clone(), refused.back_off_ends)).collect();
        for (uid, ends) in woken {
            self.unschedulable.remove(&uid);
            self.wait(&uid, ends);
        }
        self.promote(now);
    }

    /// How many pods wait, in all.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    fn promote(&mut self, now: Instant) {
        let overdue = self.unschedulable.iter().filter(|(_, refused)| refused.since + UNSCHEDULABLE_MAX <= now);
        let overdue: Vec<Box<str>> = overdue.map(|(uid, _)| uid.clone()).collect();
        for uid in overdue {
            self.unschedulable.remove(&uid);
            self.wait(&uid, now);
        }
        while let Some((at, uid)) = self.back_off.first().cloned() {
            if at > now {
                return;
            }
            if let Some((queued, _)) = self.detach(&uid) {
                self.activate(queued);
            }
        }
    }

    fn activate(&mut self, queued: Queued) {
        self.active.insert((Reverse(queued.priority), queued.arrival, queued.uid.clone()));
        self.pods.insert(queued.uid.clone(), (queued, Place::Active));
    }

    fn wait(&mut self, uid: &str, ends: Instant) {
        self.back_off.insert((ends, uid.into()));
        self.set(uid, Place::BackOff(ends));
    }

    fn set(&mut self, uid: &str, place: Place) {
        if let Some((_, present)) = self.pods.get_mut(uid) {
            *present = place;
        }
    }

    fn detach(&mut self, uid: &str) -> Option<(Queued, Place)> {
        let (queued, place) = self.pods.remove(uid)?;
        match place {
            Place::Active => {
                self.active.remove(&(Reverse(queued.priority), queued.arrival, queued.uid.clone()));
            }
            Place::BackOff(at) => {
                self.back_off.remove(&(at, queued.uid.clone()));
            }
            Place::Unschedulable => {
                self.unschedulable.remove(uid);
            }
            Place::InFlight(_) => {}
        }
        Some((queued, place))
    }
}

fn back_off(attempts: u32) -> Duration {
    BACK_OFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(pods: &[(&str, i32)]) -> Queue {
        let mut queue = Queue::default();
        for (uid, priority) in pods {
            queue.add(Key::new("a", *uid), uid, *priority);
        }
        queue
    }

    fn pop(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.pop(now).map(|queued| queued.uid.into())
    }

    #[test]
    fn important_pods_come_first_then_earlier_ones() {
        let now = Instant::now();
        let mut queue = queue(&[("a", 0), ("b", 5), ("c", 0), ("d", 5)]);
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
        assert_eq!(queue.len(), 4, "all are in flight");
    }

    #[test]
    fn a_refused_pod_comes_back_when_something_changes_that_matters() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut queue = queue(&[("a", 0)]);
        pop(&mut queue, at(0));
        queue.refuse("a", BTreeSet::from(["NodeResourcesFit"]), at(0));
        queue.changed(Change::NodeLabels, at(5));
        assert_eq!(pop(&mut queue, at(5)), None);
        queue.changed(Change::PodGone, at(6));
        assert_eq!(pop(&mut queue, at(6)).as_deref(), Some("a"));
        queue.refuse("a", BTreeSet::from(["NodeResourcesFit"]), at(6));
        queue.changed(Change::PodGone, at(6));
        assert_eq!(pop(&mut queue, at(6)), None, "the second back-off is two seconds");
        assert_eq!(queue.next_wake(), Some(at(8)));
        assert_eq!(pop(&mut queue, at(8)).as_deref(), Some("a"));
    }

    #[test]
    fn a_change_during_the_cycle_is_not_lost() {
        let begin = Instant::now();
        let mut queue = queue(&[("a", 0)]);
        pop(&mut queue, begin);
        queue.changed(Change::PodGone, begin);
        queue.refuse("a", BTreeSet::from(["NodeResourcesFit"]), begin);
        assert_eq!(pop(&mut queue, begin + BACK_OFF_FIRST).as_deref(), Some("a"));
    }

    #[test]
    fn a_pod_that_was_forgotten_comes_back_after_five_minutes() {
        let begin = Instant::now();
        let mut queue = queue(&[("a", 0)]);
        pop(&mut queue, begin);
        queue.refuse("a", BTreeSet::from(["NodeName"]), begin);
        assert_eq!(queue.next_wake(), Some(begin + UNSCHEDULABLE_MAX));
        assert_eq!(pop(&mut queue, begin + UNSCHEDULABLE_MAX).as_deref(), Some("a"));
    }

    #[test]
    fn a_removed_pod_does_not_come_back() {
        let begin = Instant::now();
        let mut queue = queue(&[("a", 0), ("b", 0)]);
        pop(&mut queue, begin);
        queue.remove("a");
        queue.retry("a", begin);
        queue.remove("b");
        assert!(queue.is_empty() && pop(&mut queue, begin + BACK_OFF_MAX).is_none());
    }
}
