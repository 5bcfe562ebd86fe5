//! What a StatefulSet reports.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use serde_json::json;

use super::{Set, identity, key};
use crate::caches::resources::STATEFUL_SETS;
use crate::plan::merge_diff::between;
use crate::plan::{Action, Plan};
use crate::pod_digest::Phase;
use crate::replica_set::{PodView, available_in};

/// Adds the patch of the status when something differs, and the time at which it will.
pub(super) fn report(plan: &mut Plan, set: &Set<'_>) {
    if let Some(after) = next_available(set) {
        plan.wake(after);
    }
    let before = set.view.stateful_set.status.clone().unwrap_or_default();
    let after = status(set, &before);
    let Some(patch) = between(&before, &after) else { return };
    let (resource, key) = (STATEFUL_SETS, key(set.metadata()));
    plan.always(Action::Patch { resource, key, subresource: "status", patch: json!({"status": patch}) });
}

fn status(set: &Set<'_>, before: &StatefulSetStatus) -> StatefulSetStatus {
    let count = |counts: &dyn Fn(&PodView<'_>) -> bool| {
        i32::try_from(set.pods.values().filter(|pod| counts(pod)).count()).unwrap_or(i32::MAX)
    };
    let some = |number: i32| (number > 0).then_some(number);
    let made_from =
        |pod: &PodView<'_>, name: &str| pod.digest.deletion.is_none() && identity::revision(pod) == Some(name);
    let (current, update) = (&set.revisions.current.name, &set.revisions.update.name);
    let updated = count(&|pod| made_from(pod, update));
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata().generation,
        replicas: count(&|_| true),
        ready_replicas: some(count(&is_ready)),
        available_replicas: Some(count(&|pod| set.is_available(pod))),
        current_replicas: some(count(&|pod| made_from(pod, current))),
        updated_replicas: some(updated),
        current_revision: Some(current.clone()).filter(|name| !name.is_empty()),
        update_revision: Some(update.clone()).filter(|name| !name.is_empty()),
        collision_count: Some(before.collision_count.unwrap_or_default()),
        conditions: before.conditions.clone(),
    };
    let wanted = set.spec().replicas.unwrap_or(1);
    let rolls = set.strategy().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
    if rolls && [updated, status.replicas, status.ready_replicas.unwrap_or_default()] == [wanted; 3] {
        status.current_revision = status.update_revision.clone();
        status.current_replicas = status.updated_replicas;
    }
    status
}

fn is_ready(pod: &PodView<'_>) -> bool {
    pod.digest.phase == Phase::Running && pod.digest.ready_since.is_some()
}

/// When the first of the ready pods becomes available.
fn next_available(set: &Set<'_>) -> Option<Duration> {
    let min_ready_seconds = set.spec().min_ready_seconds.unwrap_or_default();
    let ready = set.pods.values().filter(|pod| is_ready(pod));
    ready.filter_map(|pod| available_in(pod.digest, min_ready_seconds, set.view.now).flatten()).min()
}
