//! Conditions of both kinds: one of each type.

use crate::object::Object;
use crate::validation::{Errors, Path};

pub(super) fn check(object: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let path = path.field("conditions");
    let conditions = object.body.items_at("status.conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let kind = condition.str_at("type");
        if conditions[..index].iter().any(|before| before.str_at("type") == kind) {
            errors.duplicate(&path.field("type"), kind);
        }
        if kind.is_empty() {
            errors.required(&path.field("type"), "must not be empty");
        }
    }
}
