//! Recreate: all old pods end before the first new one starts.

use super::new_replica_set::{Ensured, Sync, ensure, sync};
use super::status::Reason;
use super::{Sets, View, asked, scale_to, wanted};
use crate::meta;
use crate::plan::{Act, Pace, Plan};

/// One move. The reason is news for the Progressing condition.
pub(super) fn advance(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>) -> Option<Reason> {
    let spec = &view.deployment.spec;
    if matches!(sync(plan, view, sets), Sync::Changed) {
        return None;
    }
    let shrunk: Vec<Act> =
        sets.old.iter().filter(|old| asked(old) > 0).filter_map(|old| scale_to(view, spec, old, 0)).collect();
    if !shrunk.is_empty() {
        plan.step(Pace::Together, shrunk);
        return None;
    }
    let new_uid = sets.new.and_then(|new| new.metadata.uid.as_deref());
    let old_runs = view.pods.iter().any(|pod| meta::controller_uid(pod.object) != new_uid && !pod.digest.is_finished());
    if old_runs {
        return None;
    }
    match ensure(plan, view, sets) {
        Ensured::Ready(new) => {
            plan.step(Pace::Together, scale_to(view, spec, new, wanted(spec)).into_iter().collect());
            None
        }
        Ensured::Planned(name) => name.map(Reason::Created),
        Ensured::Collision => Some(Reason::Collision),
    }
}
