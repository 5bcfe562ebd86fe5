//! How a Job ends, as soon as that is certain.

use k8s_openapi::api::batch::v1::JobStatus;

use super::facts::{Facts, Indexed};
use super::failure_policy::{Meaning, meaning};
use super::indexes::Indexes;
use super::status::condition;

/// Announced before pods are let go, declared after.
pub(super) const ANNOUNCED: [(&str, bool); 2] = [("SuccessCriteriaMet", true), ("FailureTarget", false)];

/// An end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) succeeded: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Outcome {
    fn failure(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { succeeded: false, reason: reason.to_owned(), message: message.into() })
    }

    fn success(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { succeeded: true, reason: reason.to_owned(), message: message.into() })
    }
}

/// The end that was announced, or that is certain though pods may run. The order is upstream's.
pub(super) fn decide(facts: &Facts<'_>) -> Option<Outcome> {
    announced(facts.status)
        .or_else(|| by_policy(facts))
        .or_else(|| by_limits(facts))
        .or_else(|| facts.indexed.as_ref().and_then(|indexed| by_indexes(facts, indexed)))
}

fn announced(status: &JobStatus) -> Option<Outcome> {
    ANNOUNCED.iter().find_map(|(kind, succeeded)| {
        let found = condition(status, kind).filter(|found| found.status == "True")?;
        let (reason, message) = (found.reason.clone().unwrap_or_default(), found.message.clone().unwrap_or_default());
        Some(Outcome { succeeded: *succeeded, reason, message })
    })
}

fn by_policy(facts: &Facts<'_>) -> Option<Outcome> {
    let failed = facts.pods.iter().filter(|pod| pod.has_failed(facts.job));
    failed.into_iter().find_map(|pod| match meaning(facts.job, pod) {
        Meaning::FailJob(message) => Outcome::failure("PodFailurePolicy", message),
        Meaning::Count | Meaning::FailIndex | Meaning::Ignore => None,
    })
}

fn by_limits(facts: &Facts<'_>) -> Option<Outcome> {
    let limit = facts.spec.backoff_limit.unwrap_or(6);
    if facts.failed > limit || restarted_too_often(facts, limit) {
        return Outcome::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if facts.status.start_time.is_some() && facts.deadline().is_some_and(|left| left.is_zero()) {
        return Outcome::failure("DeadlineExceeded", "Job was active longer than specified deadline");
    }
    None
}

/// Containers that are restarted in place count too.
fn restarted_too_often(facts: &Facts<'_>, limit: i32) -> bool {
    let template = facts.spec.template.spec.as_ref();
    if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let unfinished = facts.pods.iter().filter(|pod| !pod.view.digest.is_finished());
    let containers = unfinished.flat_map(|pod| pod.init_containers().chain(pod.containers()));
    let restarts: i32 = containers.map(|container| container.restart_count).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn by_indexes(facts: &Facts<'_>, indexed: &Indexed<'_>) -> Option<Outcome> {
    if let Some(failed) = &indexed.failed {
        if facts.spec.max_failed_indexes.is_some_and(|most| failed.count() > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Outcome::failure("MaxFailedIndexesExceeded", message);
        }
        if !failed.is_empty() && failed.count() + indexed.succeeded.count() >= indexed.completions {
            return Outcome::failure("FailedIndexes", "Job has failed indexes");
        }
    }
    by_success_policy(facts, indexed)
}

fn by_success_policy(facts: &Facts<'_>, indexed: &Indexed<'_>) -> Option<Outcome> {
    let policy = facts.spec.success_policy.as_ref().filter(|_| !indexed.succeeded.is_empty())?;
    let met = policy.rules.iter().position(|rule| {
        let enough = |count: i32| rule.succeeded_count.is_some_and(|wanted| count >= wanted);
        let Some(wanted) = &rule.succeeded_indexes else { return enough(indexed.succeeded.count()) };
        let wanted = Indexes::parse(wanted, indexed.completions);
        let common = indexed.succeeded.common(&wanted);
        !wanted.is_empty() && (common == wanted.count() || enough(common))
    })?;
    Outcome::success("SuccessPolicy", format!("Matched rules at index {met}"))
}

/// The end of a Job whose pods have all come to theirs. Without a number of completions, one success is enough.
pub(super) fn completed(facts: &Facts<'_>) -> Option<Outcome> {
    let enough = facts.succeeded >= facts.spec.completions.unwrap_or(1);
    if enough && facts.active.is_empty() {
        return Outcome::success("CompletionsReached", "Reached expected number of succeeded pods");
    }
    None
}
