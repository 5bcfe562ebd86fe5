//! Whether a schema is structural, and every other rule a CustomResourceDefinition's schema has to follow.
//!
//! Structural means: the shape (types, properties, elements) stands in one place, outside of `allOf`, `anyOf`, `oneOf`
//! and `not`; those only add rules to it.

use serde_json::Value;

use super::schema::Structural;
use super::{default, prune, validate};
use crate::meta::shown;
use crate::validation::{Errors, Path, Value as Shown};

mod extensions;
mod nested;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Words of JSON schema that upstream does not support, and what it says of them.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("id", "id is not supported"),
    ("$schema", "$schema is not supported"),
    ("$ref", "$ref is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
];

/// Where a schema stands, which decides how its type is demanded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Field,
    Items,
}

/// Finds everything wrong with `openAPIV3Schema`, which stands at `path`.
pub fn check(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    check_metadata(schema, &path.field("properties").key("metadata"), errors);
    for name in ["apiVersion", "kind"] {
        let property = &schema["properties"][name];
        if property.is_object() && property["type"] != "string" {
            let at = path.field("properties");
            errors.invalid(&at.key(name).field("type"), text(property, "type"), "must be string");
        }
    }
    if schema["x-kubernetes-embedded-resource"] == true {
        errors.forbidden(&path.field("x-kubernetes-embedded-resource"), "must not be used at the root");
    }
    if schema["nullable"] == true {
        errors.forbidden(&path.field("nullable"), "nullable cannot be true at the root");
    }
    level(schema, Place::Root, path, errors);
}

/// Whether the schema has rules in CEL anywhere.
pub fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(name, inner)| {
            (name == "x-kubernetes-validations" && inner.as_array().is_some_and(|rules| !rules.is_empty()))
                || (name != "default" && name != "enum" && name != "example" && has_rules(inner))
        }),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

fn text<'v>(schema: &'v Value, name: &str) -> &'v str {
    schema[name].as_str().unwrap_or_default()
}

/// The metadata of an object is as of any object; only its names can be restricted.
fn check_metadata(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let metadata = &schema["properties"]["metadata"];
    let Some(fields) = metadata.as_object() else { return };
    let allowed = |(name, value): (&String, &Value)| match name.as_str() {
        "type" => value == "object",
        "description" => true,
        "properties" => value
            .as_object()
            .is_none_or(|properties| properties.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))),
        _ => false,
    };
    if !fields.iter().all(allowed) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(path, detail);
    }
}

/// One schema and all below it.
fn level(schema: &Value, place: Place, path: &Path<'_>, errors: &mut Errors) {
    check_words(schema, path, errors);
    check_type(schema, place, path, errors);
    extensions::check(schema, path, errors);
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim();
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.invalid(&path.field("pattern"), pattern, detail);
    }
    nested::check(schema, path, errors);
    check_default(schema, path, errors);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if place == Place::Root && name == "metadata" {
            continue;
        }
        level(inner, Place::Field, &path.field("properties").key(name), errors);
    }
    if schema["additionalProperties"].is_object() {
        level(&schema["additionalProperties"], Place::Field, &path.field("additionalProperties"), errors);
    }
    if schema["items"].is_object() {
        level(&schema["items"], Place::Items, &path.field("items"), errors);
    }
}

fn check_words(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (word, detail) in UNSUPPORTED {
        if schema.get(word).is_some_and(|value| !value.is_null()) {
            errors.forbidden(&path.field(word), detail);
        }
    }
    if schema["uniqueItems"] == true {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&path.field("uniqueItems"), detail);
    }
    if schema["items"].is_array() {
        errors.forbidden(&path.field("items"), "items must be a schema object and not an array");
    }
    let has_properties = schema["properties"].as_object().is_some_and(|properties| !properties.is_empty());
    match &schema["additionalProperties"] {
        Value::Null => {}
        Value::Bool(false) => {
            errors.forbidden(&path.field("additionalProperties"), "additionalProperties cannot be set to false");
        }
        _ if has_properties => errors
            .forbidden(&path.field("additionalProperties"), "additionalProperties and properties are mutual exclusive"),
        _ => {}
    }
}

fn check_type(schema: &Value, place: Place, path: &Path<'_>, errors: &mut Errors) {
    let ty = text(schema, "type");
    let at = path.field("type");
    let is = |word: &str| schema[word] == true;
    match (ty, place) {
        ("", Place::Root) => errors.required(&at, "must not be empty at the root"),
        ("", _) if is("x-kubernetes-int-or-string") || is("x-kubernetes-preserve-unknown-fields") => {}
        ("", Place::Items) => errors.required(&at, "must not be empty for specified array items"),
        ("", Place::Field) => errors.required(&at, "must not be empty for specified object fields"),
        ("null", _) => errors.forbidden(&at, "type cannot be set to null, use nullable as an alternative"),
        ("object", _) => {}
        (other, Place::Root) => errors.invalid(&at, other, "must be object at the root"),
        ("array", _) if schema["items"].is_null() => errors.required(&path.field("items"), "must be specified"),
        (other, _) if !TYPES.contains(&other) => errors.not_supported(&at, other, &TYPES),
        _ => {}
    }
}

/// A default has to be what the server would let in: of the right shape, with nothing in it that would be dropped.
fn check_default(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(given) = schema.get("default").filter(|default| !default.is_null()) else { return };
    let path = path.field("default");
    let parsed = Structural::parse(schema);
    let mut value = super::parse::node(given);
    let before = value.clone();
    prune(Some(&parsed), &mut value, "", &mut |_| {});
    if value != before {
        errors.invalid(&path, shown(Some(&before)), "must not have unknown fields");
    }
    default(&parsed, &mut value);
    let mut found = Errors::new();
    validate(&parsed, &value, None, &path, &mut found);
    errors.extend(found);
}

/// A value of a schema as it is shown in an error.
fn shown_json(value: &Value) -> Shown {
    match value {
        Value::String(text) => Shown::from(text.as_str()),
        other => Shown::text(other),
    }
}
