//! `Scale`: the number of pods of any kind that has one, behind the subresource `scale`.

use crate::kind::{Kind, ScaleFields};
use crate::meta;
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::validation::{Errors, Path};

const API_VERSION: &str = "autoscaling/v1";

/// The Scale of an object; nothing if its kind has none.
pub fn of(kind: &Kind, object: &Object) -> Option<Object> {
    let ScaleFields { replicas, status_replicas, selector } = kind.scale.as_ref()?;
    let mut scale = Object::new(API_VERSION, "Scale", &types::AUTOSCALING_V1_SCALE);
    scale.metadata_mut();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        meta::copy(&mut scale, object, field);
    }
    let count = |path: &str| object.body.i64_at(path).unwrap_or(0);
    set_count(&mut scale, "spec.replicas", count(replicas));
    scale.set("status.replicas", count(status_replicas));
    if let Some(selector) = object.at(selector).and_then(LabelSelector::from_object) {
        scale.set("status.selector", selector.to_string());
    }
    Some(scale)
}

/// A zero that is no pointer is absence.
fn set_count(scale: &mut Object, path: &str, count: i64) {
    scale.body.struct_at("spec");
    if count != 0 {
        scale.set(path, count);
    }
}

/// Writes the count that a Scale wishes into the object.
pub fn apply(kind: &Kind, object: &mut Object, scale: &Object) {
    if let Some(fields) = &kind.scale {
        object.set(fields.replicas, scale.body.i64_at("spec.replicas").unwrap_or(0));
    }
}

/// Everything wrong with a Scale.
pub fn validate(scale: &Object) -> Errors {
    let mut errors = Errors::new();
    let replicas = scale.body.i64_at("spec.replicas").unwrap_or(0);
    if replicas < 0 {
        let path = Path::Root.field("spec");
        errors.invalid(&path.field("replicas"), replicas, "must be greater than or equal to 0");
    }
    errors
}
