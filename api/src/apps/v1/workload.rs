//! What the kinds that keep pods running have in common: selector, template, counts, columns.

use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::kind::ScaleFields;
use crate::names;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::selector::{self, LabelSelector};
use crate::table::{Cell, or_none};
use crate::validation::{Errors, Path};

/// Scaling by `spec.replicas`.
pub(crate) const SCALE: ScaleFields =
    ScaleFields { replicas: "spec.replicas", status_replicas: "status.replicas", selector: "spec.selector" };

/// What versions before the present ones took for granted: labels of the template select the pods and mark the object.
pub(crate) fn select_by_template(object: &mut Struct) {
    let labels = object.at("spec.template.metadata.labels").and_then(Node::as_map).cloned().unwrap_or_default();
    if labels.is_empty() {
        return;
    }
    if object.at("spec.selector").is_none() {
        object.set("spec.selector.matchLabels", labels.clone());
    }
    if object.at("metadata.labels").and_then(Node::as_map).is_none_or(Map::is_empty) {
        object.set("metadata.labels", labels);
    }
}

/// Checks `selector`, `template` and the counts of a spec.
pub(super) fn check(object: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(object.body.ty());
    let spec = object.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    for field in ["replicas", "minReadySeconds"] {
        check_not_negative(spec.i64_at(field), &path.field(field), errors);
    }
    let selector_path = path.field("selector");
    let selector = spec.get("selector");
    match selector {
        None => errors.required(&selector_path, ""),
        Some(node) => {
            selector::check_object(Some(node), &selector_path, errors);
            if node.as_struct().is_some_and(Struct::is_empty) {
                let shown = crate::meta::shown(Some(node));
                errors.invalid(&selector_path, shown, "empty selector is invalid for deployment");
            }
        }
    }
    let selector = selector.and_then(LabelSelector::from_object);
    let selects = |labels: &_| selector.as_ref().is_none_or(|selector| selector.matches_labels(labels));
    pod_template::check(spec, selects, "ReplicaSet", &path, errors);
}

/// The selector never changes.
pub(super) fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    crate::meta::check_immutable(new.at("spec.selector"), old.at("spec.selector"), &path.field("selector"), errors);
}

/// Counts in a status are never negative.
pub(super) fn check_counts(object: &Object, fields: &[&str], errors: &mut Errors) {
    let path = Path::Root.field("status");
    for field in fields {
        check_not_negative(object.body.i64_at(&format!("status.{field}")), &path.field(field), errors);
    }
}

/// No part of the pods in a status is greater than all of them.
pub(super) fn check_parts(object: &Object, parts: &[&str], errors: &mut Errors) {
    let path = Path::Root.field("status");
    let total = count(object, "status.replicas");
    for field in parts {
        let part = count(object, &format!("status.{field}"));
        if part > total {
            errors.invalid(&path.field(field), part, "cannot be greater than status.replicas");
        }
    }
}

/// The count of collisions of names only grows.
pub(super) fn check_collisions(new: &Object, old: &Object, errors: &mut Errors) {
    let collisions = |object: &Object| object.body.i64_at("status.collisionCount");
    if let (Some(before), now) = (collisions(old), collisions(new).unwrap_or(0))
        && now < before
    {
        let path = Path::Root.field("status");
        errors.invalid(&path.field("collisionCount"), now, "cannot be decremented");
    }
}

fn percent(value: &Node) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// Whether a count or a share of pods means none of them.
pub(super) fn is_nothing(value: &Node) -> bool {
    value.as_i64().or_else(|| percent(value)) == Some(0)
}

/// Checks a count or a share of pods.
pub(crate) fn check_count_or_percent(value: &Node, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Node::Str(text) => errors.invalid_each(path, text, names::percent(text)),
        value => check_not_negative(value.as_i64(), path, errors),
    }
    if percent(value).is_some_and(|percent| percent > 100) {
        errors.invalid(path, value.as_str().unwrap_or(""), "must not be greater than 100%");
    }
}

/// The count at a path.
pub(super) fn count(object: &Object, path: &str) -> i64 {
    object.body.i64_at(path).unwrap_or(0)
}

/// The wide cells: containers, images, selector.
pub(super) fn wide_cells(object: &Object) -> [Cell; 3] {
    let [containers, images] = pod_template::container_cells(object.at("spec.template"));
    let selector = object.at("spec.selector").and_then(LabelSelector::from_object).unwrap_or_default();
    [containers, images, or_none(&selector.to_string())]
}
