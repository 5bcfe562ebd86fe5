//! Pods of old templates are deleted, from the highest ordinal down to the partition; [`super::scaling`] makes them anew.

use api::int_or_string::{IntOrString, Rounding};
use k8s_openapi::apimachinery::pkg::util::intstr;

use super::{Set, identity};
use crate::plan::{Pace, Plan};
use crate::replica_set::PodView;

/// Takes the old pods that do not work, since nothing is lost by it (only a parallel set gets here while it has some), and of the
/// others as many as may be unavailable.
pub(super) fn advance(plan: &mut Plan, set: &Set<'_>) {
    if set.strategy().and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return;
    }
    let is_old = |pod: &PodView<'_>| !set.is_updated(pod) && pod.digest.deletion.is_none() && !pod.digest.is_finished();
    let works = |pod: &PodView<'_>| set.is_available(pod) && pod.digest.deletion.is_none();
    let there = set.pods.range(set.range.clone()).filter(|(_, pod)| works(pod)).count();
    let wanted = set.range.end - set.range.start;
    let missing = wanted - i64::try_from(there).unwrap_or(wanted);
    let left = usize::try_from(max_unavailable(set, wanted) - missing).unwrap_or(0);
    let reach = set.partition().clamp(set.range.start, set.range.end)..set.range.end;
    let old = set.pods.range(reach).rev().map(|(_, pod)| pod).filter(|pod| is_old(pod));
    let (working, broken): (Vec<_>, Vec<_>) = old.partition(|pod| works(pod));
    let leave = broken.into_iter().chain(working.into_iter().take(left));
    plan.step(Pace::Together, leave.map(|pod| identity::delete(set, pod)).collect());
}

/// A percentage is rounded down; one pod may always be missing, or nothing would move.
fn max_unavailable(set: &Set<'_>, wanted: i64) -> i64 {
    let value = match set.rolling_update().and_then(|rolling| rolling.max_unavailable.as_ref()) {
        Some(intstr::IntOrString::Int(number)) => IntOrString::Int(i64::from(*number)),
        Some(intstr::IntOrString::String(text)) => IntOrString::Str(text.clone()),
        None => IntOrString::Int(1),
    };
    value.scaled(wanted, Rounding::Down).unwrap_or(1).max(1)
}
