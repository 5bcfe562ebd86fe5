//! What one reconcile knows of a Job and its pods, counted once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};

use super::View;
use super::failure_policy::{Meaning, counts, meaning};
use super::indexes::Indexes;
use super::pods::JobPod;

pub(super) struct Facts<'a> {
    pub(super) job: &'a Job,
    pub(super) spec: &'a JobSpec,
    /// As it was read.
    pub(super) status: &'a JobStatus,
    /// Its pods, by completion index.
    pub(super) pods: Vec<&'a JobPod<'a>>,
    /// Those that neither ended nor are on their way out.
    pub(super) active: Vec<&'a JobPod<'a>>,
    /// The identities of pods in the status that are not in its numbers yet.
    pub(super) uncounted_succeeded: BTreeSet<&'a str>,
    pub(super) uncounted_failed: BTreeSet<&'a str>,
    /// Of an indexed Job.
    pub(super) indexed: Option<Indexed<'a>>,
    /// How many succeeded, those included that are not in the status yet; of an indexed Job, how many indexes.
    pub(super) succeeded: i32,
    /// How many failed in a way that counts, those included that are not in the status yet.
    pub(super) failed: i32,
    pub(super) now: Timestamp,
    pub(super) seed: u64,
}

/// What an indexed Job knows beside.
pub(super) struct Indexed<'a> {
    pub(super) completions: i32,
    /// Those in the status.
    pub(super) before: Indexes,
    /// Those and the ones of pods that are still tracked.
    pub(super) succeeded: Indexes,
    /// Those given up; only with a limit for each index.
    pub(super) failed: Option<Indexes>,
    /// The last failed pod of each index that waits for a replacement: it tells how often the index failed.
    pub(super) replaced: BTreeMap<i32, &'a JobPod<'a>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        view: &View<'a>,
        spec: &'a JobSpec,
        status: &'a JobStatus,
        mut pods: Vec<&'a JobPod<'a>>,
    ) -> Self {
        let job = view.job;
        pods.sort_by(|a, b| a.index().cmp(&b.index()).then_with(|| a.uid().cmp(b.uid())));
        let active: Vec<_> = pods.iter().copied().filter(|pod| pod.is_active()).collect();
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let uids = |list: Option<&'a Vec<String>>| list.into_iter().flatten().map(String::as_str).collect();
        let uncounted_succeeded: BTreeSet<&str> = uids(uncounted.and_then(|pods| pods.succeeded.as_ref()));
        let uncounted_failed: BTreeSet<&str> = uids(uncounted.and_then(|pods| pods.failed.as_ref()));
        let completions = spec.completions.filter(|_| spec.completion_mode.as_deref() == Some("Indexed"));
        let indexed =
            completions.map(|completions| Indexed::new((job, spec, status), &pods, completions, &uncounted_failed));
        let fresh = |known: &BTreeSet<&str>, ended: &dyn Fn(&JobPod<'_>) -> bool| {
            let fresh = pods.iter().filter(|pod| {
                let valid = completions.is_none_or(|completions| pod.index().is_some_and(|index| index < completions));
                pod.is_tracked() && valid && !known.contains(pod.uid()) && ended(pod)
            });
            size(fresh.count() + known.len())
        };
        // What was counted once stays that: a pod that was given up may still say that it did well.
        let succeeds = |pod: &JobPod<'_>| pod.has_succeeded() && !uncounted_failed.contains(pod.uid());
        let succeeded = match &indexed {
            Some(indexed) => indexed.succeeded.count(),
            None => status.succeeded.unwrap_or(0) + fresh(&uncounted_succeeded, &|pod| succeeds(pod)),
        };
        let failed = fresh(&uncounted_failed, &|pod| pod.has_failed(job) && counts(job, pod));
        let failed = status.failed.unwrap_or(0) + failed;
        let (now, seed) = (view.now, view.seed);
        Self {
            job,
            spec,
            status,
            pods,
            active,
            uncounted_succeeded,
            uncounted_failed,
            indexed,
            succeeded,
            failed,
            now,
            seed,
        }
    }

    /// How many pods are on their way out and not at their end.
    pub(super) fn terminating(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_terminating()).count()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// When it began to run for this time, be it now. The server lets nobody move the time of one that is not suspended, so
    /// that of a suspended one is taken away; its deadline counts from when it goes on.
    pub(super) fn started(&self) -> Option<Timestamp> {
        let before = self.status.start_time.as_ref().map(|time| time.0);
        if self.is_suspended() { None } else { before.or(Some(self.now)) }
    }

    /// How much of `activeDeadlineSeconds` is left: zero when it is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let seconds = self.spec.active_deadline_seconds.filter(|_| !self.is_suspended())?;
        let passed = self.now.duration_since(self.started()?);
        Some(Duration::try_from(SignedDuration::from_secs(seconds).saturating_sub(passed)).unwrap_or_default())
    }

    /// Whether each index has a limit of its own.
    pub(super) fn has_limit_per_index(&self) -> bool {
        self.spec.backoff_limit_per_index.is_some()
    }
}

impl<'a> Indexed<'a> {
    /// `given_up` are pods that were counted as failed, whatever they say now.
    fn new(
        (job, spec, status): (&Job, &JobSpec, &JobStatus),
        pods: &[&'a JobPod<'a>],
        completions: i32,
        given_up: &BTreeSet<&str>,
    ) -> Self {
        let parse = |text: &Option<String>| Indexes::parse(text.as_deref().unwrap_or_default(), completions);
        let tracked: Vec<(i32, &'a JobPod<'a>)> = pods
            .iter()
            .filter(|pod| pod.is_tracked())
            .filter_map(|pod| Some((pod.index().filter(|index| *index < completions)?, *pod)))
            .collect();
        let before = parse(&status.completed_indexes);
        let of = |ended: &dyn Fn(&JobPod<'_>) -> bool| -> Vec<i32> {
            tracked.iter().filter(|(_, pod)| ended(pod)).map(|(index, _)| *index).collect()
        };
        let succeeded = before.with(of(&|pod| pod.has_succeeded() && !given_up.contains(pod.uid())));
        let mut indexed = Self { completions, before, succeeded, failed: None, replaced: BTreeMap::new() };
        let Some(limit) = spec.backoff_limit_per_index else { return indexed };
        let failed = parse(&status.failed_indexes).with(of(&|pod| is_given_up(job, pod, limit)));
        let active: BTreeSet<i32> = pods.iter().filter(|pod| pod.is_active()).filter_map(|pod| pod.index()).collect();
        for (index, pod) in tracked.into_iter().filter(|(_, pod)| pod.has_failed(job)) {
            if indexed.succeeded.has(index) || failed.has(index) || active.contains(&index) {
                continue;
            }
            let rank = |pod: &JobPod<'_>| {
                (pod.failures_of_index().saturating_add(pod.ignored_failures_of_index()), pod.finished_at())
            };
            let last = indexed.replaced.entry(index).or_insert(pod);
            if rank(last) <= rank(pod) {
                *last = pod;
            }
        }
        indexed.failed = Some(failed);
        indexed
    }
}

/// Whether this failure was the last one that its index may have.
fn is_given_up(job: &Job, pod: &JobPod<'_>, limit: i32) -> bool {
    pod.has_failed(job)
        && match meaning(job, pod) {
            Meaning::FailIndex => true,
            Meaning::Ignore => false,
            Meaning::Count | Meaning::FailJob(_) => pod.failures_of_index() >= limit,
        }
}

pub(super) fn size(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
