//! RollingUpdate: up with the new as far as the surge allows, down with the old as far as availability allows.

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};

use super::budget::budget;
use super::new_replica_set::{Ensured, ensure};
use super::status::Reason;
use super::{Sets, View, asked, available, scale_to, wanted};
use crate::plan::{Act, Pace, Plan};

/// One move. The reason is news for the Progressing condition.
pub(super) fn advance(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>) -> Option<Reason> {
    let spec = &view.deployment.spec;
    let new = match ensure(plan, view, sets) {
        Ensured::Ready(new) => new,
        Ensured::Planned(Some(name)) => return Some(Reason::Created(name)),
        Ensured::Planned(None) => return None,
        Ensured::Collision => return Some(Reason::Collision),
    };
    let size = new_size(spec, sets);
    if size != asked(new) {
        plan.step(Pace::Together, scale_to(view, spec, new, size).into_iter().collect());
        return None;
    }
    plan.step(Pace::Together, shrink_old(view, spec, sets, new));
    None
}

/// The size the new replica set should have now.
pub(super) fn new_size(spec: &DeploymentSpec, sets: &Sets<'_>) -> i32 {
    let present = sets.new.map(asked).unwrap_or_default();
    let recreate = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
    if recreate || present > wanted(spec) {
        return wanted(spec);
    }
    let total: i32 = sets.all().map(asked).sum();
    let room = wanted(spec).saturating_add(budget(spec).surge).saturating_sub(total).max(0);
    present + room.min(wanted(spec) - present)
}

/// Takes pods that are not available first: they serve nobody. Then as many as the budget allows, oldest sets first.
fn shrink_old(view: &View<'_>, spec: &DeploymentSpec, sets: &Sets<'_>, new: &ReplicaSet) -> Vec<Act> {
    let min_available = wanted(spec) - budget(spec).unavailable;
    let total: i32 = sets.all().map(asked).sum();
    let new_unavailable = asked(new) - available(new);
    let mut may_go = total - min_available - new_unavailable;
    let mut sizes: Vec<i32> = sets.old.iter().copied().map(asked).collect();
    if may_go <= 0 || sizes.iter().all(|size| *size == 0) {
        return Vec::new();
    }
    for (size, old) in sizes.iter_mut().zip(&sets.old) {
        let useless = (*size - available(old)).clamp(0, may_go);
        *size -= useless;
        may_go -= useless;
    }
    let available: i32 = sets.all().map(available).sum();
    let mut surplus = (available - min_available).clamp(0, may_go);
    for size in &mut sizes {
        let goes = (*size).min(surplus);
        *size -= goes;
        surplus -= goes;
    }
    let shrunk = sets.old.iter().zip(sizes).filter(|(old, size)| asked(old) != *size);
    shrunk.filter_map(|(old, size)| scale_to(view, spec, old, size)).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    use super::*;
    use crate::plan::Action;

    /// Seed 7 of the control plane's simulation: the old set was scaled from three to two, its status still told of three, and
    /// both of the two went, so that two pods were left where three had to be.
    #[test]
    fn pods_that_are_on_their_way_out_are_not_counted() {
        let set = |name: &str, asked: i32, available: i32| -> ReplicaSet {
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "a", "uid": name, "resourceVersion": "7"},
                "spec": {"replicas": asked, "selector": {}},
                "status": {"replicas": available, "availableReplicas": available},
            }))
            .unwrap()
        };
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "a", "uid": "web"},
            "spec": {"replicas": 4, "selector": {}, "template": {}},
        }))
        .unwrap();
        let (old, new) = (set("old", 2, 3), set("new", 3, 2));
        let sets = Sets { new: Some(&new), old: vec![&old] };
        let view = View { deployment: &deployment, replica_sets: &[], pods: &[], now: jiff::Timestamp::UNIX_EPOCH };
        let acts = shrink_old(&view, &deployment.spec, &sets, &new);
        let sizes = acts.iter().map(|act| match &act.action {
            Action::Patch { key, patch, .. } => (key.name.to_string(), patch["spec"]["replicas"].clone()),
            other => panic!("{other:?}"),
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [("old".to_owned(), json!(1))]);
    }
}
