//! What happens to the pods of a node that is not well.

use std::time::Duration;

use client::Key;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::taints::{NOT_READY, UNREACHABLE, no_execute};
use super::{View, readiness};
use crate::caches::resources::PODS;
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Pace, Plan, normal, warning};
use crate::pod_digest::PodDigest;
use crate::stateful_set::POD_NAME;

/// After the end of its grace, a pod of an unreachable node is given up this much later.
const FORCE_MARGIN: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn plan(plan: &mut Plan, view: &View<'_>) {
    let mut acts = Vec::new();
    for pod in view.pods {
        let digest = PodDigest::new(pod);
        if digest.is_finished() && digest.deletion.is_none() {
            continue;
        }
        if let Some(act) = not_ready(view, pod, &digest) {
            acts.push(act);
        }
        match due(view, pod, &digest) {
            Due::Never => {}
            Due::In(left) => plan.wake(left),
            Due::Now(act) => acts.push(*act),
        }
    }
    plan.step(Pace::Together, acts);
}

/// A pod nobody vouches for serves nobody.
fn not_ready(view: &View<'_>, pod: &Pod, digest: &PodDigest) -> Option<Act> {
    if readiness(view.node) == "True" || digest.ready_since.is_none() {
        return None;
    }
    let mut conditions = pod.status.as_ref()?.conditions.clone()?;
    let ready: &mut PodCondition = conditions.iter_mut().find(|condition| condition.type_ == "Ready")?;
    ready.status = "False".to_owned();
    ready.reason = Some("NodeNotReady".to_owned());
    ready.last_transition_time = Some(Time(view.now));
    let patch = json!({"status": {"conditions": to_json(&conditions)}});
    let patch = meta::at_revision(patch, pod.metadata.resource_version.as_deref());
    let about = meta::reference("v1", "Pod", &pod.metadata);
    let act = Act::from(Action::Patch { resource: PODS, key: key(pod), subresource: "status", patch });
    Some(act.say(warning(&about, "NodeNotReady", "Node is not ready")))
}

enum Due {
    Never,
    In(Duration),
    Now(Box<Act>),
}

fn due(view: &View<'_>, pod: &Pod, digest: &PodDigest) -> Due {
    let (at, act) = match digest.deletion {
        Some(_) if readiness(view.node) != "Unknown" => return Due::Never,
        Some(_) if has_identity(pod) && !view.gives_up_named => return Due::Never,
        Some(grace_ends) => (grace_ends.saturating_add(FORCE_MARGIN).ok(), delete(pod, Some(0))),
        None => {
            let about = meta::reference("v1", "Pod", &pod.metadata);
            let message = format!("Marking for deletion Pod {}", key(pod));
            (eviction_time(view, pod), delete(pod, None).say(normal(&about, "TaintManagerEviction", message)))
        }
    };
    let Some(at) = at else { return Due::Never };
    match Duration::try_from(at.duration_since(view.now)) {
        Ok(left) if !left.is_zero() => Due::In(left),
        _ => Due::Now(Box::new(act)),
    }
}

/// Whether the next pod of a StatefulSet will have the name. The node may be cut off and the pod alive: only its agent, or who
/// deletes it by force, says that it has ended. One whose set is gone, or let it go, is still known by its label.
fn has_identity(pod: &Pod) -> bool {
    let metadata = &pod.metadata;
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.kind == "StatefulSet")
        || metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(POD_NAME))
}

fn delete(pod: &Pod, grace_seconds: Option<i64>) -> Act {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    Act::from(Action::Delete { resource: PODS, key: key(pod), uid, grace_seconds, foreground: false })
}

fn key(pod: &Pod) -> Key {
    let metadata = &pod.metadata;
    Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// When the first of the node's NoExecute taints drives the pod away. `None`: it tolerates all of them.
fn eviction_time(view: &View<'_>, pod: &Pod) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_ref());
    let times = no_execute(view.node).filter_map(|taint| {
        let matching: Vec<&Toleration> =
            tolerations.into_iter().flatten().filter(|toleration| tolerates(toleration, taint)).collect();
        let added = taint.time_added.as_ref().map_or(view.now, |time| time.0);
        let stay = if matching.is_empty() {
            let lenient = [NOT_READY, UNREACHABLE].contains(&taint.key.as_str());
            if lenient { SignedDuration::try_from(view.eviction_after).ok()? } else { SignedDuration::ZERO }
        } else {
            // One that sets no limit does not lift the limit of another; without any limit it stays.
            let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
            SignedDuration::from_secs(seconds.max(0))
        };
        added.saturating_add(stay).ok()
    });
    times.min()
}

/// Upstream's rule: an empty key with Exists matches every taint, an empty effect every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    let fits = match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => value(&toleration.value) == value(&taint.value),
    };
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && toleration.operator.as_deref() == Some("Exists")))
        && fits
}
