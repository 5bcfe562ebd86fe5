//! `Binding`: puts a pod on a node. Posted to `pods/<name>/binding`, never stored.

use crate::kind::{CREATE_ONLY, Kind};
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    plural: "bindings",
    singular: "binding",
    kind: "Binding",
    verbs: CREATE_ONLY,
    stored: false,
    ty: &types::CORE_V1_BINDING,
    check,
    ..Kind::BASE
};

fn check(binding: &Object, errors: &mut Errors) {
    let target = Path::Root.field("target");
    let kind = binding.str_at("target.kind");
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&target.field("kind"), kind, &["Node", "<empty>"]);
    }
    if binding.str_at("target.name").is_empty() {
        errors.required(&target.field("name"), "");
    }
}
