//! Which pods go first when there are too many.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::PodView;

/// The `count` pods to delete. Upstream's order: unscheduled, pending, not ready, cheap, crowded node, lately ready, often
/// restarted, young. Times count by their magnitude only, so that deletions are not all of one age.
pub(crate) fn first_to_go<'a>(
    active: &[PodView<'a>],
    related_nodes: &[&str],
    now: Timestamp,
    count: usize,
) -> Vec<PodView<'a>> {
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for node in related_nodes {
        *crowd.entry(node).or_default() += 1;
    }
    let crowd = |pod: &PodView<'_>| crowd.get(&*pod.digest.node).copied().unwrap_or_default();
    let mut pods = active.to_vec();
    pods.sort_by(|a, b| {
        let (x, y) = (a.digest, b.digest);
        (!x.node.is_empty())
            .cmp(&!y.node.is_empty())
            .then_with(|| x.phase.cmp(&y.phase))
            .then_with(|| x.ready_since.is_some().cmp(&y.ready_since.is_some()))
            .then_with(|| x.deletion_cost.cmp(&y.deletion_cost))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(|| by_age(x.ready_since, y.ready_since, now))
            .then_with(|| y.restarts.cmp(&x.restarts))
            .then_with(|| by_age(x.created, y.created, now))
            .then_with(|| a.object.header().uid.cmp(&b.object.header().uid))
    });
    pods.truncate(count);
    pods
}

/// The younger first, by powers of two.
fn by_age(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |time: Option<Timestamp>| {
        let age = now.duration_since(time?).as_nanos();
        u128::try_from(age).ok()?.checked_ilog2()
    };
    magnitude(a).cmp(&magnitude(b))
}
