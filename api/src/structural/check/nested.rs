//! What stands in `allOf`, `anyOf`, `oneOf` and `not`: rules for a shape that is described outside, nothing else.

use serde_json::Value;

use crate::validation::{Errors, Path};

/// Words that belong to the shape or describe it.
const SHAPE: [&str; 13] = [
    "type",
    "title",
    "description",
    "default",
    "nullable",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

pub(super) fn check(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    junctors(schema, schema, int_or_string, path, path, errors);
}

/// The combinations that stand in `rules`, which restrict `shape`.
fn junctors(
    rules: &Value,
    shape: &Value,
    types_allowed: bool,
    path: &Path<'_>,
    shape_path: &Path<'_>,
    errors: &mut Errors,
) {
    for word in ["allOf", "anyOf", "oneOf"] {
        let at = path.field(word);
        for (index, inner) in rules[word].as_array().into_iter().flatten().enumerate() {
            within(inner, shape, types_allowed, &at.index(index), shape_path, errors);
        }
    }
    if rules["not"].is_object() {
        within(&rules["not"], shape, types_allowed, &path.field("not"), shape_path, errors);
    }
}

fn within(
    rules: &Value,
    shape: &Value,
    types_allowed: bool,
    path: &Path<'_>,
    shape_path: &Path<'_>,
    errors: &mut Errors,
) {
    for word in SHAPE {
        let given = match &rules[word] {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        // The pattern by which an int-or-string is described names both types.
        if given && !(word == "type" && types_allowed) {
            errors.forbidden(&path.field(word), "must be empty to be structural");
        }
    }
    let open = shape["x-kubernetes-preserve-unknown-fields"] == true || shape["additionalProperties"] == true;
    for (name, inner) in rules["properties"].as_object().into_iter().flatten() {
        let at = path.field("properties");
        let at = at.key(name);
        let shape_properties = shape_path.field("properties");
        let shape_at = shape_properties.key(name);
        let named = &shape["properties"][name.as_str()];
        let outside = if named.is_object() { named } else { &shape["additionalProperties"] };
        if outside.is_object() {
            within(inner, outside, outside["x-kubernetes-int-or-string"] == true, &at, &shape_at, errors);
        } else if !open {
            errors.required(&shape_at, format!("because it is defined in {at}"));
        }
    }
    if rules["items"].is_object() {
        let (at, shape_at) = (path.field("items"), shape_path.field("items"));
        if shape["items"].is_object() || shape["x-kubernetes-preserve-unknown-fields"] == true {
            within(&rules["items"], &shape["items"], false, &at, &shape_at, errors);
        } else {
            errors.required(&shape_at, format!("because it is defined in {at}"));
        }
    }
    junctors(rules, shape, types_allowed, path, shape_path, errors);
}
