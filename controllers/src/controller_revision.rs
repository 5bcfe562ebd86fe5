//! ControllerRevisions: the templates that a StatefulSet or a DaemonSet has had, for its rollout and for kubectl's.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde::Deserialize;
use serde_json::json;

use crate::meta;
use crate::plan::merge_diff::json as to_json;

/// A template in a form in which equal ones are equal: `metadata: {}` and no metadata are the same.
pub(crate) fn normal(mut template: PodTemplateSpec) -> PodTemplateSpec {
    template.metadata = template.metadata.filter(|metadata| *metadata != ObjectMeta::default());
    template
}

/// The template that a revision holds.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    PodTemplateSpec::deserialize(revision.data.0.pointer("/spec/template")?).ok().map(normal)
}

/// A new revision of a set's template: its name is `prefix` and a hash, which `label` carries, too. A name that was taken counts as
/// a collision, and leads to another hash.
pub(crate) fn build(
    set: &ObjectMeta,
    owner: OwnerReference,
    pods: &PodTemplateSpec,
    (prefix, label): (&str, &str),
    (number, collisions): (i64, i32),
) -> ControllerRevision {
    let mut template = to_json(pods);
    let salt = if collisions > 0 { collisions.to_string() } else { String::new() };
    let hash = meta::safe_text(meta::fnv1a(&[template.to_string().as_bytes(), salt.as_bytes()]));
    // A patch that kubectl can apply to the set: the template as a whole, nothing merged.
    template["$patch"] = "replace".into();
    let mut labels = pods.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.insert(label.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{prefix}-{hash}")),
            namespace: set.namespace.clone(),
            labels: Some(labels),
            annotations: set.annotations.clone(),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        data: RawExtension(json!({"spec": {"template": template}})),
        revision: Some(number),
    }
}
