//! What a DaemonSet reports.

use k8s_openapi::api::apps::v1::DaemonSetStatus;
use serde_json::json;

use super::facts::Facts;
use super::node::Fit;
use super::owner;
use crate::caches::resources::DAEMON_SETS;
use crate::plan::merge_diff::between;
use crate::plan::{Action, Plan};

/// Adds the patch of the status when something differs, and the time at which it will.
pub(super) fn report(plan: &mut Plan, facts: &Facts<'_>) {
    let before = facts.daemon_set.status.clone().unwrap_or_default();
    let after = counts(plan, facts, &before);
    let Some(patch) = between(&before, &after) else { return };
    let key = owner(facts.daemon_set).key();
    plan.always(Action::Patch { resource: DAEMON_SETS, key, subresource: "status", patch: json!({"status": patch}) });
}

/// The oldest pod of a node speaks for it.
fn counts(plan: &mut Plan, facts: &Facts<'_>, before: &DaemonSetStatus) -> DaemonSetStatus {
    let (mut desired, mut current, mut misscheduled) = (0, 0, 0);
    let (mut ready, mut available, mut updated) = (0, 0, 0);
    for (node, fit) in &facts.nodes {
        let oldest = facts.pods_on(&node.name).first();
        if *fit != Fit::Runs {
            misscheduled += i32::from(oldest.is_some());
            continue;
        }
        desired += 1;
        let Some(oldest) = oldest else { continue };
        current += 1;
        updated += i32::from(oldest.is_of(&facts.hash));
        if let Some(left) = facts.available_in(oldest) {
            ready += 1;
            available += i32::from(left.is_none());
        }
    }
    // A pod that waits to become available moves the rollout on when it is, wherever it is.
    let waiting = facts.pods.values().flatten().filter_map(|pod| facts.available_in(pod).flatten());
    waiting.for_each(|left| plan.wake(left));
    let some = |count: i32| (count > 0).then_some(count);
    DaemonSetStatus {
        observed_generation: facts.daemon_set.metadata.generation,
        desired_number_scheduled: desired,
        current_number_scheduled: current,
        number_misscheduled: misscheduled,
        number_ready: ready,
        number_available: some(available),
        number_unavailable: some(desired - available),
        updated_number_scheduled: some(updated),
        ..before.clone()
    }
}
