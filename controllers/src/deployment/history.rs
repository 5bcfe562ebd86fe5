//! Old ReplicaSets are kept for `kubectl rollout undo`, up to a limit.

use super::{Sets, View, actual, annotations, asked, by_creation, key};
use crate::caches::resources::REPLICA_SETS;
use crate::plan::{Act, Action, Pace, Plan};

/// Deletes the oldest revisions beyond `spec.revisionHistoryLimit`, only empty ones.
pub(super) fn clean_up(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>) {
    let limit = view.deployment.spec.revision_history_limit.unwrap_or(10);
    let mut kept: Vec<_> =
        sets.old.iter().filter(|replica_set| replica_set.metadata.deletion_timestamp.is_none()).collect();
    let surplus = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    kept.sort_by_key(|replica_set| (annotations::revision(replica_set), by_creation(replica_set)));
    let settled = kept.into_iter().take(surplus).filter(|replica_set| {
        let observed = replica_set.status.as_ref().and_then(|status| status.observed_generation);
        actual(replica_set) == 0 && asked(replica_set) == 0 && replica_set.metadata.generation <= observed
    });
    let deletions = settled.map(|replica_set| {
        let metadata = &replica_set.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        Act::from(Action::Delete {
            resource: REPLICA_SETS,
            key: key(metadata),
            uid,
            grace_seconds: None,
            foreground: false,
        })
    });
    plan.step(Pace::Together, deletions.collect());
}
