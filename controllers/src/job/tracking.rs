//! From pods that ended to numbers in the status.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::UncountedTerminatedPods;

use super::facts::{Facts, size};
use super::failure_policy::counts;
use super::outcome::Outcome;
use super::pods::JobPod;

/// As upstream: the identities take less than 20 KB of a status, and a large Job does not starve small ones.
const UNCOUNTED_MAX: usize = 500;

/// What is to be written.
pub(super) struct Tracking<'a> {
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    pub(super) uncounted: UncountedTerminatedPods,
    /// Indexes that are new in the status.
    pub(super) indexes: Vec<i32>,
    /// Pods whose finalizer goes once the status is written.
    pub(super) removals: Vec<&'a JobPod<'a>>,
}

impl Tracking<'_> {
    /// Whether no pod is left to count.
    pub(super) fn is_done(&self) -> bool {
        self.removals.is_empty() && self.uncounted == UncountedTerminatedPods::default()
    }
}

pub(super) fn track<'a>(facts: &Facts<'a>, outcome: Option<&Outcome>) -> Tracking<'a> {
    let tracked: BTreeSet<&str> = facts.pods.iter().filter(|pod| pod.is_tracked()).map(|pod| pod.uid()).collect();
    let split = |uncounted: &BTreeSet<&'a str>| {
        let (kept, gone): (Vec<&str>, Vec<&str>) = uncounted.iter().partition(|uid| tracked.contains(*uid));
        (kept, size(gone.len()))
    };
    // Who is without finalizer has been seen by the status.
    let (mut succeeded, counted_succeeded) = split(&facts.uncounted_succeeded);
    let (mut failed, counted_failed) = split(&facts.uncounted_failed);
    let (mut indexes, mut removals): (Vec<i32>, Vec<&'a JobPod<'a>>) = (Vec::new(), Vec::new());
    for pod in facts.pods.iter().copied().filter(|pod| pod.is_tracked() && may_go(facts, outcome, pod)) {
        removals.push(pod);
        let index = facts.indexed.as_ref().map(|indexed| pod.index().filter(|index| *index < indexed.completions));
        if pod.has_succeeded() && !facts.uncounted_failed.contains(pod.uid()) {
            match (&facts.indexed, index.flatten()) {
                (Some(indexed), Some(index)) if !indexed.before.has(index) => indexes.push(index),
                (None, _) if !facts.uncounted_succeeded.contains(pod.uid()) => succeeded.push(pod.uid()),
                _ => {}
            }
        } else if pod.has_failed(facts.job) || outcome.is_some_and(|outcome| !outcome.succeeded) {
            let valid = index.is_none_or(|index| index.is_some());
            if valid && !facts.uncounted_failed.contains(pod.uid()) && counts(facts.job, pod) {
                failed.push(pod.uid());
            }
        }
        if indexes.len() + succeeded.len() + failed.len() >= UNCOUNTED_MAX {
            break;
        }
    }
    let list = |uids: Vec<&str>| (!uids.is_empty()).then(|| uids.into_iter().map(str::to_owned).collect());
    Tracking {
        succeeded: facts.status.succeeded.unwrap_or(0) + counted_succeeded,
        failed: facts.status.failed.unwrap_or(0) + counted_failed,
        uncounted: UncountedTerminatedPods { failed: list(failed), succeeded: list(succeeded) },
        indexes,
        removals,
    }
}

/// Whether a pod may be counted and let go: it ended, or whatever it does makes no difference any longer.
fn may_go(facts: &Facts<'_>, outcome: Option<&Outcome>, pod: &JobPod<'_>) -> bool {
    if facts.job.metadata.deletion_timestamp.is_some() || pod.has_succeeded() {
        return true;
    }
    if outcome.is_some() {
        // One that runs is told to end first; it is counted when that is seen.
        return !pod.is_active();
    }
    let replaced = facts.indexed.as_ref().and_then(|indexed| indexed.replaced.get(&pod.index()?));
    pod.has_failed(facts.job) && replaced.is_none_or(|replaced| replaced.uid() != pod.uid())
}
