//! `PodTemplateSpec`: the pods that a Deployment, a ReplicaSet and their like make.

use crate::core::v1::pod_spec;
use crate::meta;
use crate::node::{Map, Node, Struct};
use crate::validation::{Errors, Path};

/// Defaults of the template in the field `template` of a spec.
pub(crate) fn defaults(spec: &mut Struct) {
    pod_spec::defaults(spec.struct_at("template.spec"));
}

/// Checks a template whose pods are to be kept running, and that the selector selects them.
pub(crate) fn check(spec: &Struct, matches: impl Fn(&Map) -> bool, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("template");
    let empty = Map::default();
    let labels = spec.at("template.metadata.labels").and_then(Node::as_map).unwrap_or(&empty);
    if !matches(labels) {
        let metadata = path.field("metadata");
        let shown = meta::shown(Some(&Node::Map(labels.clone())));
        errors.invalid(&metadata.field("labels"), shown, "`selector` does not match template `labels`");
    }
    let metadata = path.field("metadata");
    meta::check_labels(Some(labels), &metadata.field("labels"), errors);
    let annotations = spec.at("template.metadata.annotations").and_then(Node::as_map);
    meta::check_annotations(annotations, &metadata.field("annotations"), errors);
    let spec_path = path.field("spec");
    match spec.at("template.spec").and_then(Node::as_struct) {
        Some(pod) => {
            pod_spec::check(pod, spec.at("template.metadata").and_then(Node::as_struct), &spec_path, errors);
            let policy = pod.str_at("restartPolicy");
            if !matches!(policy, "" | "Always") {
                errors.not_supported(&spec_path.field("restartPolicy"), policy, &["Always"]);
            }
            if pod.i64_at("activeDeadlineSeconds").is_some() {
                errors.forbidden(
                    &spec_path.field("activeDeadlineSeconds"),
                    "activeDeadlineSeconds in ReplicaSet is not Supported",
                );
            }
        }
        None => errors.required(&spec_path.field("containers"), ""),
    }
}

/// Annotations that mean something for a pod have a form of their own.
pub(crate) fn check_annotations(annotations: &Map, errors: &mut Errors) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    if annotations.get(MIRROR).and_then(Node::as_str) == Some("") {
        let path = Path::Root.field("metadata");
        errors.required(&path.field("annotations").key(MIRROR), "");
    }
}
