//! What a Job reports.

use client::event_recorder::Note;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::facts::{Facts, size};
use super::outcome::Outcome;
use super::owner;
use super::tracking::Tracking;
use crate::caches::resources::JOBS;
use crate::meta;
use crate::plan::merge_diff::between;
use crate::plan::{Act, Action, Plan, normal, warning};

const COMPLETE: &str = "Complete";
const FAILED: &str = "Failed";
const SUSPENDED: &str = "Suspended";

/// Whether the status declares an end.
pub(crate) fn is_finished(status: &JobStatus) -> bool {
    finished(status).is_some()
}

/// The condition that declares an end.
pub(crate) fn finished(status: &JobStatus) -> Option<&JobCondition> {
    [COMPLETE, FAILED].iter().find_map(|kind| condition(status, kind).filter(|found| found.status == "True"))
}

pub(super) fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Adds the patch of the status when something differs. It holds at the revision that was read only, since numbers are
/// added to those that are there.
pub(super) fn report(plan: &mut Plan, facts: &Facts<'_>, tracking: &Tracking<'_>, outcome: Option<&Outcome>) {
    let mut after = counts(facts, tracking);
    let note = conclude(&mut after, facts, tracking, outcome);
    let Some(patch) = between(facts.status, &after) else { return };
    let metadata = &facts.job.metadata;
    let key = owner(facts.job).key();
    let patch = meta::at_revision(json!({ "status": patch }), metadata.resource_version.as_deref());
    let mut act = Act::from(Action::Patch { resource: JOBS, key, subresource: "status", patch });
    act.on_success = note;
    plan.act(act);
}

fn counts(facts: &Facts<'_>, tracking: &Tracking<'_>) -> JobStatus {
    let some = |count: i32| (count > 0).then_some(count);
    let ready = facts.active.iter().filter(|pod| pod.view.digest.ready_since.is_some()).count();
    let mut after = JobStatus {
        active: some(size(facts.active.len())),
        ready: Some(size(ready)),
        terminating: Some(size(facts.terminating())),
        succeeded: some(tracking.succeeded),
        failed: some(tracking.failed),
        uncounted_terminated_pods: Some(tracking.uncounted.clone()),
        start_time: facts.started().map(Time),
        ..facts.status.clone()
    };
    if let Some(indexed) = &facts.indexed {
        let completed = indexed.before.with(tracking.indexes.iter().copied());
        // Of a Job that became shorter fewer indexes count, and the server lets no number fall.
        after.succeeded = some(completed.count().max(facts.status.succeeded.unwrap_or(0)));
        after.completed_indexes = Some(completed.to_string()).filter(|text| !text.is_empty());
        after.failed_indexes = indexed.failed.as_ref().map(ToString::to_string);
    }
    after
}

/// Sets the conditions. Returns what to say about a change that matters.
fn conclude(
    after: &mut JobStatus,
    facts: &Facts<'_>,
    tracking: &Tracking<'_>,
    outcome: Option<&Outcome>,
) -> Option<Note> {
    let about = owner(facts.job).about();
    let Some(outcome) = outcome else {
        if facts.job.metadata.deletion_timestamp.is_some() {
            return None;
        }
        return if facts.is_suspended() {
            let changed = set(after, SUSPENDED, "True", ("JobSuspended", "Job suspended"), facts.now);
            changed.then(|| normal(&about, "Suspended", "Job suspended"))
        } else {
            let changed = set(after, SUSPENDED, "False", ("JobResumed", "Job resumed"), facts.now);
            changed.then(|| normal(&about, "Resumed", "Job resumed"))
        };
    };
    let (announcement, declaration) =
        if outcome.succeeded { ("SuccessCriteriaMet", COMPLETE) } else { ("FailureTarget", FAILED) };
    let why = (outcome.reason.as_str(), outcome.message.as_str());
    set(after, announcement, "True", why, facts.now);
    let quiet = facts.active.is_empty() && facts.terminating() == 0;
    if !quiet || !tracking.is_done() {
        return None;
    }
    set(after, declaration, "True", why, facts.now);
    // A suspended Job may end too, by a policy that is met; whoever ended has begun.
    let start = after.start_time.get_or_insert(Time(facts.now)).0;
    if outcome.succeeded {
        after.completion_time = Some(Time(facts.now.max(start)));
        Some(normal(&about, "Completed", "Job completed"))
    } else {
        Some(warning(&about, why.0, why.1))
    }
}

/// Sets a condition; returns whether that changed anything. One that is absent need not be said to be false.
fn set(status: &mut JobStatus, kind: &str, value: &str, (reason, message): (&str, &str), now: Timestamp) -> bool {
    let present = status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let same = present.map_or(value == "False", |present| {
        present.status == value
            && present.reason.as_deref() == Some(reason)
            && present.message.as_deref() == Some(message)
    });
    if same {
        return false;
    }
    let fresh = JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(present) => *present = fresh,
        None => conditions.push(fresh),
    }
    true
}
