//! What a Deployment reports: counts, and whether it is available and makes progress.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::budget::budget;
use super::{Sets, View, actual, available, key, name, wanted};
use crate::caches::resources::DEPLOYMENTS;
use crate::plan::merge_diff::between;
use crate::plan::{Action, Plan};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// Whether this reconcile may judge the progress.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollout {
    /// It is paused, being scaled or on its way out.
    Still,
    /// It rolls, or is done.
    Moves,
}

/// News of this very reconcile.
pub(super) enum Reason {
    /// The new replica set is being created, with this name.
    Created(String),
    /// Its name is taken: the hash has to change.
    Collision,
}

/// Adds the patch of the status when something differs, and the time at which progress is judged again.
pub(super) fn report(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>, rollout: Rollout, reason: Option<Reason>) {
    let before = view.deployment.status.clone().unwrap_or_default();
    let mut after = counts(view, sets);
    if matches!(reason, Some(Reason::Collision)) {
        after.collision_count = Some(before.collision_count.unwrap_or_default() + 1);
    }
    let mut conditions = Conditions { all: before.conditions.clone().unwrap_or_default(), now: view.now };
    availability(&mut conditions, view, &after);
    if deadline(view).is_none() {
        conditions.remove(PROGRESSING);
    } else if let Some(Reason::Created(created)) = &reason {
        conditions.set(PROGRESSING, "True", "NewReplicaSetCreated", &format!("Created new replica set {created:?}"));
    } else {
        pausing(&mut conditions, view);
        if rollout == Rollout::Moves {
            progress(plan, &mut conditions, view, sets, (&before, &after));
        }
    }
    replica_failure(&mut conditions, sets);
    after.conditions = (!conditions.all.is_empty()).then_some(conditions.all);
    if let Some(patch) = between(&before, &after) {
        let key = key(&view.deployment.metadata);
        plan.always(Action::Patch {
            resource: DEPLOYMENTS,
            key,
            subresource: "status",
            patch: json!({"status": patch}),
        });
    }
}

/// Whether all pods are new and available.
pub(super) fn is_complete(view: &View<'_>, sets: &Sets<'_>) -> bool {
    complete(view, &counts(view, sets))
}

fn complete(view: &View<'_>, status: &DeploymentStatus) -> bool {
    let wanted = wanted(&view.deployment.spec);
    let all = |count: Option<i32>| count.unwrap_or_default() == wanted;
    all(status.updated_replicas) && all(status.replicas) && all(status.available_replicas)
}

fn counts(view: &View<'_>, sets: &Sets<'_>) -> DeploymentStatus {
    let sum = |count: fn(&ReplicaSet) -> i32| sets.all().map(count).sum::<i32>();
    let ready = |replica_set: &ReplicaSet| replica_set.status.as_ref().and_then(|status| status.ready_replicas);
    let terminating =
        |replica_set: &ReplicaSet| replica_set.status.as_ref().and_then(|status| status.terminating_replicas);
    let some = |count: i32| (count > 0).then_some(count);
    let before = view.deployment.status.as_ref();
    DeploymentStatus {
        observed_generation: view.deployment.metadata.generation,
        replicas: some(sum(actual)),
        updated_replicas: some(sets.new.map(actual).unwrap_or_default()),
        ready_replicas: some(sets.all().filter_map(ready).sum()),
        available_replicas: some(sum(available)),
        unavailable_replicas: some(sum(super::asked) - sum(available)),
        terminating_replicas: Some(sets.all().filter_map(terminating).sum()),
        collision_count: before.and_then(|status| status.collision_count),
        conditions: None,
    }
}

fn availability(conditions: &mut Conditions, view: &View<'_>, status: &DeploymentStatus) {
    let spec = &view.deployment.spec;
    let enough = wanted(spec) - budget(spec).unavailable;
    if status.available_replicas.unwrap_or_default() >= enough {
        let message = "Deployment has minimum availability.";
        conditions.set(AVAILABLE, "True", "MinimumReplicasAvailable", message);
    } else {
        let message = "Deployment does not have minimum availability.";
        conditions.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message);
    }
}

/// `spec.progressDeadlineSeconds`; the largest number means: none.
fn deadline(view: &View<'_>) -> Option<SignedDuration> {
    let seconds = view.deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)?;
    Some(SignedDuration::from_secs(i64::from(seconds)))
}

fn progress(
    plan: &mut Plan,
    conditions: &mut Conditions,
    view: &View<'_>,
    sets: &Sets<'_>,
    (before, after): (&DeploymentStatus, &DeploymentStatus),
) {
    let present = conditions.get(PROGRESSING).cloned();
    let reason = present.as_ref().and_then(|condition| condition.reason.as_deref());
    let what = match sets.new {
        Some(new) => format!("ReplicaSet {:?}", name(new)),
        None => format!("Deployment {:?}", view.deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    // Once complete, a lost pod is the replica set's business and no new rollout.
    if after.replicas == after.updated_replicas && reason == Some(NEW_AVAILABLE) {
        return;
    }
    if complete(view, after) {
        return conditions.set(PROGRESSING, "True", NEW_AVAILABLE, &format!("{what} has successfully progressed."));
    }
    if moved(before, after) {
        return conditions.renew(PROGRESSING, "True", "ReplicaSetUpdated", &format!("{what} is progressing."));
    }
    let Some(present) = present else {
        if let Some(new) = sets.new {
            let message = format!("Found new replica set {:?}", name(new));
            conditions.set(PROGRESSING, "True", "FoundNewReplicaSet", &message);
        }
        return;
    };
    let (Some(deadline), Some(since)) = (deadline(view), present.last_update_time) else { return };
    let left = deadline - view.now.duration_since(since.0);
    match Duration::try_from(left) {
        _ if present.reason.as_deref() == Some(TIMED_OUT) => {}
        Ok(left) if !left.is_zero() => plan.wake(left + Duration::from_secs(1)),
        _ => conditions.set(PROGRESSING, "False", TIMED_OUT, &format!("{what} has timed out progressing.")),
    }
}

fn moved(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let count = |count: Option<i32>| count.unwrap_or_default();
    let old = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(after.updated_replicas) > count(before.updated_replicas)
        || old(after) < old(before)
        || count(after.ready_replicas) > count(before.ready_replicas)
        || count(after.available_replicas) > count(before.available_replicas)
}

/// A paused rollout does not run into its deadline, and a resumed one begins to count anew.
fn pausing(conditions: &mut Conditions, view: &View<'_>) {
    let paused = view.deployment.spec.paused == Some(true);
    let reason = conditions.get(PROGRESSING).and_then(|condition| condition.reason.clone());
    match reason.as_deref() {
        Some(TIMED_OUT) => {}
        Some(PAUSED) if !paused => {
            conditions.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed");
        }
        Some(PAUSED) => {}
        _ if paused => conditions.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused"),
        _ => {}
    }
}

/// A replica set that cannot create its pods is the deployment's trouble too; the new one's before an old one's.
fn replica_failure(conditions: &mut Conditions, sets: &Sets<'_>) {
    let failure = |replica_set: &ReplicaSet| {
        let conditions = replica_set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE)).cloned()
    };
    match sets.new.into_iter().chain(sets.old.iter().copied()).find_map(failure) {
        Some(found) => {
            let (reason, message) = (found.reason.unwrap_or_default(), found.message.unwrap_or_default());
            let status = found.status.unwrap_or_default();
            conditions.set(REPLICA_FAILURE, &status, &reason, &message);
        }
        None => conditions.remove(REPLICA_FAILURE),
    }
}

struct Conditions {
    all: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.all.iter().find(|condition| condition.type_.as_deref() == Some(kind))
    }

    fn remove(&mut self, kind: &str) {
        self.all.retain(|condition| condition.type_.as_deref() != Some(kind));
    }

    /// Sets a condition; the same status for the same reason is no news.
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let same = |condition: &DeploymentCondition| {
            condition.status.as_deref() == Some(status) && condition.reason.as_deref() == Some(reason)
        };
        if !self.get(kind).is_some_and(same) {
            self.renew(kind, status, reason, message);
        }
    }

    /// Sets a condition and the time of its update.
    fn renew(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = Time(self.now);
        let before = self.get(kind).filter(|before| before.status.as_deref() == Some(status));
        let since = before.and_then(|before| before.last_transition_time.clone()).unwrap_or_else(|| now.clone());
        self.remove(kind);
        self.all.push(DeploymentCondition {
            type_: Some(kind.to_owned()),
            status: Some(status.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_update_time: Some(now),
            last_transition_time: Some(since),
        });
    }
}
