//! What a pod of a set is called, how it is made, and how it is taken away.

use api::stored::StoredObject;
use client::Key;
use client::event_recorder::Note;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::{Set, claims, name};
use crate::caches::resources::PODS;
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, normal, warning};
use crate::pod_digest::Phase;
use crate::replica_set::PodView;

/// The label that tells a pod's identity.
pub(crate) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
const REVISION: &str = "controller-revision-hash";

/// The name of a pod.
pub(super) fn pod_name(set: &str, ordinal: i64) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal that a set gives with this name; it gives none with leading zeros.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let ordinal: i64 = digits.parse().ok().filter(|ordinal| *ordinal >= 0)?;
    (ordinal.to_string() == digits).then_some(ordinal)
}

/// The name of the revision that a pod was made from.
pub(super) fn revision<'a>(pod: &PodView<'a>) -> Option<&'a str> {
    let object: &'a StoredObject = pod.object;
    object.header().label(REVISION)
}

/// What Events are about.
pub(super) fn about(stateful_set: &StatefulSet) -> ObjectReference {
    meta::reference("apps/v1", "StatefulSet", &stateful_set.metadata)
}

/// Creates the pod of an ordinal.
pub(super) fn create(set: &Set<'_>, ordinal: i64) -> Act {
    let pod = pod(set, ordinal);
    let set_name = name(set.view.stateful_set);
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let about = about(set.view.stateful_set);
    let what = format!("create Pod {pod_name} in StatefulSet {set_name}");
    Act::from(Action::Create { resource: PODS, body: to_json(&pod) })
        .say(normal(&about, "SuccessfulCreate", format!("{what} successful")))
        .complain(warning(&about, "FailedCreate", format!("{what} failed error: ")))
}

/// The pod of an ordinal as it is made: the template of its revision, with the identity over it.
pub(super) fn pod(set: &Set<'_>, ordinal: i64) -> Pod {
    let metadata = set.metadata();
    let set_name = name(set.view.stateful_set);
    let name = pod_name(set_name, ordinal);
    let revision = set.revision_of(ordinal);
    let template = revision.template.clone();
    let shape = template.metadata.unwrap_or_default();
    let mut labels = shape.labels.unwrap_or_default();
    labels.extend(identity_labels(&name, ordinal));
    labels.insert(REVISION.to_owned(), revision.name.clone());
    let mut spec = template.spec.unwrap_or_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec().service_name.clone().filter(|service| !service.is_empty());
    spec.volumes = claims::volumes(set.spec(), &name, spec.volumes);
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(format!("{set_name}-")),
            namespace: metadata.namespace.clone(),
            labels: Some(labels),
            annotations: shape.annotations,
            finalizers: shape.finalizers,
            owner_references: Some(vec![meta::controller_reference("apps/v1", "StatefulSet", metadata)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn identity_labels(name: &str, ordinal: i64) -> [(String, String); 2] {
    [(POD_NAME.to_owned(), name.to_owned()), (POD_INDEX.to_owned(), ordinal.to_string())]
}

/// Gives a pod that was taken in the labels of its identity.
pub(super) fn repair(ordinal: i64, pod: &PodView<'_>) -> Option<Act> {
    let header = pod.object.header();
    let wanted = identity_labels(&header.name, ordinal).into_iter();
    let missing = wanted.filter(|(label, value)| header.label(label) != Some(value.as_str()));
    let missing: Map<String, Value> = missing.map(|(label, value)| (label, value.into())).collect();
    if missing.is_empty() {
        return None;
    }
    let revision = pod.object.revision().to_string();
    let patch = meta::at_revision(json!({"metadata": {"labels": missing}}), Some(&revision));
    Some(Action::Patch { resource: PODS, key: Key::of(pod.object), subresource: "", patch }.into())
}

/// Deletes a pod; how long it may take is its own matter.
pub(super) fn delete(set: &Set<'_>, pod: &PodView<'_>) -> Act {
    let header = pod.object.header();
    let about = about(set.view.stateful_set);
    let what = format!("delete Pod {} in StatefulSet {}", header.name, name(set.view.stateful_set));
    let (key, uid) = (Key::of(pod.object), header.uid.to_string());
    Act::from(Action::Delete { resource: PODS, key, uid, grace_seconds: None, foreground: false })
        .say(normal(&about, "SuccessfulDelete", format!("{what} successful")))
        .complain(warning(&about, "FailedDelete", format!("{what} failed error: ")))
}

/// Says that a pod which ended is made anew.
pub(super) fn recreating(set: &Set<'_>, pod: &PodView<'_>) -> Note {
    let header = pod.object.header();
    let set_name = name(set.view.stateful_set);
    let about = about(set.view.stateful_set);
    let message = |how| format!("StatefulSet {}/{set_name} is recreating {how} Pod {}", header.namespace, header.name);
    match pod.digest.phase {
        Phase::Failed => warning(&about, "RecreatingFailedPod", message("failed")),
        _ => normal(&about, "RecreatingTerminatedPod", message("terminated")),
    }
}

#[cfg(test)]
mod tests {
    use super::ordinal;

    #[test]
    fn only_names_that_a_set_gives_have_an_ordinal() {
        for (set, pod, expect) in [
            ("web", "web-0", Some(0)),
            ("web", "web-12", Some(12)),
            ("web-1", "web-1-3", Some(3)),
            ("web", "web-1-3", None),
            ("web", "web-01", None),
            ("web", "web--1", None),
            ("web", "web-+1", None),
            ("web", "web-", None),
            ("web", "web", None),
            ("web", "webs-1", None),
            ("web", "web-99999999999999999999", None),
        ] {
            assert_eq!(ordinal(set, pod), expect, "{set} {pod}");
        }
    }
}
