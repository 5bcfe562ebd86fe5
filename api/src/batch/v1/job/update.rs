//! What may change in a Job.

use crate::meta::{check_immutable, shown};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::validation::{Errors, Path};

/// Where pods run may change until the first of them does.
const SCHEDULING: [&str; 6] = [
    "spec.nodeSelector",
    "spec.tolerations",
    "spec.schedulingGates",
    "spec.affinity.nodeAffinity",
    "metadata.annotations",
    "metadata.labels",
];

pub(super) fn check(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    check_completions(new, old, &path, errors);
    let mut immutable = |field: &str| {
        let at = format!("spec.{field}");
        check_immutable(new.at(&at), old.at(&at), &path.field(field), errors);
    };
    immutable("selector");
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(field);
    }
    let suspended = old.body.bool_at("spec.suspend") == Some(true);
    let mut template = old.at("spec.template").and_then(Node::as_struct).cloned();
    if suspended && old.at("status.startTime").is_none() {
        let new = new.at("spec.template").and_then(Node::as_struct);
        if let (Some(template), Some(new)) = (&mut template, new) {
            SCHEDULING.iter().for_each(|field| take_over(template, new, field));
        }
    }
    let template = template.map(Node::Struct);
    check_immutable(new.at("spec.template"), template.as_ref(), &path.field("template"), errors);
}

fn take_over(template: &mut Struct, new: &Struct, path: &str) {
    match new.at(path) {
        Some(node) => template.set(path, node.clone()),
        None => drop(template.remove(path)),
    }
    // An affinity that says nothing any more is none.
    for parent in ["spec.affinity", "metadata"] {
        let is_empty = template.at(parent).and_then(Node::as_struct).is_some_and(Struct::is_empty);
        if is_empty && new.at(parent).is_none() {
            template.remove(parent);
        }
    }
}

/// An indexed Job may become longer or shorter, together with its parallelism.
fn check_completions(new: &Object, old: &Object, path: &Path<'_>, errors: &mut Errors) {
    let completions = |job: &Object| job.body.i64_at("spec.completions");
    let field = path.field("completions");
    if new.str_at("spec.completionMode") != "Indexed" {
        check_immutable(new.at("spec.completions"), old.at("spec.completions"), &field, errors);
    } else if completions(new) != completions(old)
        && completions(new).is_some()
        && completions(new) != new.body.i64_at("spec.parallelism")
    {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.invalid(&field, shown(new.at("spec.completions")), detail);
    }
}
