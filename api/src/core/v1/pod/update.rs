//! What may change in a pod after its creation: images, the active deadline, more tolerations, fewer scheduling gates.

use crate::node::{Node, Struct};
use crate::object::Object;
use crate::validation::{Errors, Path};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn check(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let (Some(new), Some(old)) = (spec(new), spec(old)) else { return };
    for list in ["containers", "initContainers"] {
        if new.items_at(list).len() != old.items_at(list).len() {
            errors.forbidden(&path.field(list), "pod updates may not add or remove containers");
            return;
        }
    }
    check_deadline(new, old, &path.field("activeDeadlineSeconds"), errors);
    check_tolerations(new, old, &path.field("tolerations"), errors);
    check_gates(new, old, &path.field("schedulingGates"), errors);
    let mut allowed = new.clone();
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        crate::kind::copy_field(&mut allowed, old, field);
    }
    if old.i64_at("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0)
        && new.i64_at("terminationGracePeriodSeconds") == Some(1)
    {
        crate::kind::copy_field(&mut allowed, old, "terminationGracePeriodSeconds");
    }
    for list in ["containers", "initContainers"] {
        let Some(containers) = allowed.get_mut(list).and_then(Node::as_list_mut) else { continue };
        for (container, before) in containers.iter_mut().zip(old.items_at(list)) {
            if let (Some(container), Some(before)) = (container.as_struct_mut(), before.as_struct()) {
                crate::kind::copy_field(container, before, "image");
            }
        }
    }
    if allowed != *old {
        errors.forbidden(&path, format!("{ONLY}\nchanged: {}", changed(&allowed, old).join(", ")));
    }
}

fn spec(pod: &Object) -> Option<&Struct> {
    pod.at("spec").and_then(Node::as_struct)
}

fn changed(new: &Struct, old: &Struct) -> Vec<String> {
    let fields = new.ty().fields.iter().filter(|field| new.get(field.name) != old.get(field.name));
    fields.map(|field| format!("spec.{}", field.name)).collect()
}

fn check_deadline(new: &Struct, old: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let value = |spec: &Struct| spec.i64_at("activeDeadlineSeconds");
    match (value(new), value(old)) {
        (Some(new), Some(old)) if new > old => {
            errors.invalid(path, new, "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.invalid(path, crate::validation::Value::text("null"), detail);
        }
        _ => {}
    }
}

/// Existing tolerations stay but for their seconds; new ones may come.
fn check_tolerations(new: &Struct, old: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let same = |a: &Node, b: &Node| {
        ["key", "operator", "value", "effect"].iter().all(|field| a.str_at(field) == b.str_at(field))
    };
    for toleration in old.items_at("tolerations") {
        if !new.items_at("tolerations").iter().any(|kept| same(kept, toleration)) {
            errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

fn check_gates(new: &Struct, old: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let known = |name: &str| old.items_at("schedulingGates").iter().any(|gate| gate.str_at("name") == name);
    for (index, gate) in new.items_at("schedulingGates").iter().enumerate() {
        let name = gate.str_at("name");
        if !known(name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&path.index(index), detail);
        }
    }
}
