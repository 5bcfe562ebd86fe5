//! What the kinds that keep pods running have in common: selector, template, counts, columns.

use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::kind::ScaleFields;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::selector::{self, LabelSelector};
use crate::table::{Cell, list_or_none};
use crate::validation::{Errors, Path};

/// Scaling by `spec.replicas`.
pub(crate) const SCALE: ScaleFields =
    ScaleFields { replicas: "spec.replicas", status_replicas: "status.replicas", selector: "spec.selector" };

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
    pod_template::check(spec, selects, &path, errors);
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

/// The count at a path.
pub(super) fn count(object: &Object, path: &str) -> i64 {
    object.body.i64_at(path).unwrap_or(0)
}

/// The wide cells: containers, images, selector.
pub(super) fn wide_cells(object: &Object) -> [Cell; 3] {
    let containers = object.body.items_at("spec.template.spec.containers");
    let field = |name: &'static str| list_or_none(containers.iter().map(|container| container.str_at(name)));
    let selector = object.at("spec.selector").and_then(LabelSelector::from_object);
    let selector = selector.map_or_else(
        || "<none>".to_owned(),
        |selector| match selector.to_string() {
            text if text.is_empty() => "<none>".to_owned(),
            text => text,
        },
    );
    [field("name").into(), field("image").into(), selector.into()]
}
