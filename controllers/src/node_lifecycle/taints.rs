//! The taints that say what is wrong with a node.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::readiness;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";
/// Condition and taint, when the condition is true.
const OF_CONDITIONS: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// All taints the node should have, others' included. `None`: it has them.
pub(super) fn wanted(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let present = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let ours = ours(node);
    let is = |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    let managed = |taint: &Taint| {
        [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str())
            || OF_CONDITIONS.iter().any(|(_, key)| *key == taint.key)
    };
    let stays = |taint: &Taint| !managed(taint) || ours.iter().any(|own| is(taint, own));
    let mut taints: Vec<Taint> = present.iter().filter(|taint| stays(taint)).cloned().collect();
    for own in &ours {
        if !present.iter().any(|taint| is(taint, own)) {
            let (key, effect) = own;
            let time_added = Some(Time(now));
            taints.push(Taint { key: (*key).to_owned(), effect: (*effect).to_owned(), time_added, value: None });
        }
    }
    (taints != present).then_some(taints)
}

fn ours(node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut ours = match readiness(node) {
        "True" => vec![],
        "False" => vec![(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)],
        _ => vec![(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)],
    };
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    for (kind, taint) in OF_CONDITIONS {
        let mut found = conditions.into_iter().flatten();
        if found.any(|condition| condition.type_ == kind && condition.status == "True") {
            ours.push((taint, NO_SCHEDULE));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        ours.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    ours
}

/// The taints that drive pods away.
pub(super) fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().filter(|taint| taint.effect == NO_EXECUTE)
}
