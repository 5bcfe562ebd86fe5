//! `spec.replicas` changed: every active ReplicaSet gets its share, so that a paused or running rollout keeps its ratio.

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};

use super::annotations::{DESIRED, MAX, number};
use super::budget::budget;
use super::{Sets, View, asked, available, by_creation, scale_to, wanted};
use crate::plan::{Pace, Plan};

/// Whether some active replica set was scaled for another size.
pub(super) fn is_wanted(spec: &DeploymentSpec, sets: &Sets<'_>) -> bool {
    let mut active = sets.all().filter(|replica_set| asked(replica_set) > 0);
    active.any(|replica_set| number(replica_set, DESIRED).is_some_and(|desired| desired != wanted(spec)))
}

pub(super) fn scale(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>) {
    let spec = &view.deployment.spec;
    let active: Vec<&ReplicaSet> = sets.all().filter(|replica_set| asked(replica_set) > 0).collect();
    let sizes = match active.as_slice() {
        [] => sets.new.or(sets.old.last().copied()).map(|latest| (latest, wanted(spec))).into_iter().collect(),
        [only] => vec![(*only, wanted(spec))],
        _ if is_saturated(spec, sets) => {
            let old = sets.old.iter().filter(|replica_set| asked(replica_set) > 0);
            old.map(|replica_set| (*replica_set, 0)).collect()
        }
        _ => proportionally(view, spec, active),
    };
    let acts = sizes.into_iter().filter_map(|(replica_set, size)| scale_to(view, spec, replica_set, size));
    plan.step(Pace::Together, acts.collect());
}

fn is_saturated(spec: &DeploymentSpec, sets: &Sets<'_>) -> bool {
    sets.new.is_some_and(|new| {
        let wanted = wanted(spec);
        asked(new) == wanted && number(new, DESIRED) == Some(wanted) && available(new) == wanted
    })
}

/// Larger sets first; what rounding leaves over goes to the largest.
fn proportionally<'a>(
    view: &View<'_>,
    spec: &DeploymentSpec,
    mut active: Vec<&'a ReplicaSet>,
) -> Vec<(&'a ReplicaSet, i32)> {
    let most = wanted(spec).saturating_add(budget(spec).surge);
    let allowed = if wanted(spec) > 0 { most } else { 0 };
    let total: i32 = active.iter().copied().map(asked).sum();
    let to_add = allowed - total;
    // Of equal ones the newer grows, and the older shrinks.
    if to_add > 0 {
        active.sort_by_key(|replica_set| (asked(replica_set), by_creation(replica_set)));
        active.reverse();
    } else {
        active.sort_by_key(|replica_set| (Reverse(asked(replica_set)), by_creation(replica_set)));
    }
    let mut added = 0;
    let mut sizes = Vec::new();
    for replica_set in active {
        let left = to_add - added;
        let share = share(view, spec, replica_set, most);
        let share = if to_add > 0 { share.min(left) } else { share.max(left) };
        let share = if left == 0 { 0 } else { share };
        added += share;
        sizes.push((replica_set, asked(replica_set) + share));
    }
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

/// By how much one set would change if it followed the size of the deployment exactly.
fn share(view: &View<'_>, spec: &DeploymentSpec, replica_set: &ReplicaSet, most: i32) -> i32 {
    let size = asked(replica_set);
    if wanted(spec) == 0 {
        return -size;
    }
    let before = number(replica_set, MAX).filter(|max| *max > 0);
    let before = before.or_else(|| view.deployment.status.as_ref().and_then(|status| status.replicas));
    let before = i64::from(before.unwrap_or(size).max(1));
    // Rounded half away from zero; all numbers are positive.
    let exact = (i64::from(size) * i64::from(most) * 2 + before) / (before * 2);
    i32::try_from(exact).unwrap_or(i32::MAX).saturating_sub(size)
}
