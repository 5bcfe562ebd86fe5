//! What a ReplicaSet reports.

use client::Key;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::{PodView, View, available_in};
use crate::caches::resources::REPLICA_SETS;
use crate::plan::merge_diff::between;
use crate::plan::{Action, Plan};

const FAILURE: &str = "ReplicaFailure";

/// Adds the patch of the status when something differs, and the time at which it will.
pub(super) fn report(plan: &mut Plan, view: &View<'_>, owned: &[PodView<'_>], active: &[PodView<'_>]) {
    let before = view.replica_set.status.clone().unwrap_or_default();
    let after = status(plan, view, owned, active);
    let Some(patch) = between(&before, &after) else { return };
    let metadata = &view.replica_set.metadata;
    let key = Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    plan.always(Action::Patch { resource: REPLICA_SETS, key, subresource: "status", patch: json!({"status": patch}) });
}

fn status(plan: &mut Plan, view: &View<'_>, owned: &[PodView<'_>], active: &[PodView<'_>]) -> ReplicaSetStatus {
    let spec = &view.replica_set.spec;
    let template_labels =
        spec.template.as_ref().and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let min_ready_seconds = spec.min_ready_seconds.unwrap_or_default();
    let (mut ready, mut available, mut fully_labeled) = (0, 0, 0);
    for pod in active {
        let labels = |key: &String| pod.object.header().label(key);
        fully_labeled += i32::from(template_labels.iter().all(|(key, value)| labels(key) == Some(value)));
        match available_in(pod.digest, min_ready_seconds, view.now) {
            None => {}
            Some(Some(left)) => {
                ready += 1;
                plan.wake(left);
            }
            Some(None) => {
                ready += 1;
                available += 1;
            }
        }
    }
    let terminating = owned.iter().filter(|pod| pod.digest.deletion.is_some() && !pod.digest.is_finished()).count();
    let count = |number: i32| (number > 0).then_some(number);
    ReplicaSetStatus {
        replicas: size(active.len()),
        fully_labeled_replicas: count(fully_labeled),
        ready_replicas: count(ready),
        available_replicas: count(available),
        terminating_replicas: Some(size(terminating)),
        observed_generation: view.replica_set.metadata.generation,
        conditions: conditions(view, active.len()),
    }
}

fn size(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The failure to create or delete pods stands until a plan succeeds.
fn conditions(view: &View<'_>, active: usize) -> Option<Vec<ReplicaSetCondition>> {
    let before = view.replica_set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let present = before.iter().find(|condition| condition.type_.as_deref() == Some(FAILURE)).cloned();
    let mut others: Vec<_> =
        before.into_iter().filter(|condition| condition.type_.as_deref() != Some(FAILURE)).collect();
    if let Some(failure) = &view.last_failure {
        let wanted = view.replica_set.spec.replicas.unwrap_or(1);
        let reason = if size(active) < wanted { "FailedCreate" } else { "FailedDelete" };
        let fresh = ReplicaSetCondition {
            type_: Some(FAILURE.into()),
            status: Some("True".into()),
            reason: Some(reason.into()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(view.now)),
        };
        // Like upstream: the first message of a reason stays, so that a retry writes nothing.
        let same = |old: &ReplicaSetCondition| old.reason == fresh.reason && old.status == fresh.status;
        others.push(present.filter(same).unwrap_or(fresh));
    }
    (!others.is_empty()).then_some(others)
}
