//! The rules of `x-kubernetes-*`.

use serde_json::Value;

use super::{shown_json, text};
use crate::validation::{Errors, Path};

pub(super) fn check(schema: &Value, path: &Path<'_>, errors: &mut Errors) {
    let ty = text(schema, "type");
    let is = |word: &str| schema[word] == true;
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let at = path.field("x-kubernetes-preserve-unknown-fields");
        errors.invalid(&at, false, "must be true or undefined");
    }
    if is("x-kubernetes-int-or-string") && !ty.is_empty() {
        errors.forbidden(&path.field("type"), "must be empty if x-kubernetes-int-or-string is true");
    }
    if is("x-kubernetes-embedded-resource") {
        if ty != "object" {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            errors.invalid(&path.field("type"), ty, detail);
        }
        let empty = schema["properties"].as_object().is_none_or(serde_json::Map::is_empty);
        if empty && !is("x-kubernetes-preserve-unknown-fields") {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.required(&path.field("properties"), detail);
        }
    }
    check_list(schema, ty, path, errors);
    if let Some(map_type) = schema["x-kubernetes-map-type"].as_str() {
        let at = path.field("x-kubernetes-map-type");
        if ty != "object" {
            errors.invalid(&path.field("type"), ty, "must be object if x-kubernetes-map-type is specified");
        }
        if !matches!(map_type, "atomic" | "granular") {
            errors.not_supported(&at, map_type, &["atomic", "granular"]);
        }
    }
}

fn check_list(schema: &Value, ty: &str, path: &Path<'_>, errors: &mut Errors) {
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let at = path.field("x-kubernetes-list-map-keys");
    let Some(list_type) = schema["x-kubernetes-list-type"].as_str() else {
        if !keys.is_empty() {
            errors.required(
                &path.field("x-kubernetes-list-type"),
                "must be map if x-kubernetes-list-map-keys is non-empty",
            );
        }
        return;
    };
    if ty != "array" {
        errors.invalid(&path.field("type"), ty, "must be array if x-kubernetes-list-type is specified");
    }
    match list_type {
        "map" => {
            if keys.is_empty() {
                errors.required(&at, "must not be empty if x-kubernetes-list-type is map");
            }
            check_keys(&schema["items"], &keys, path, errors);
        }
        "atomic" | "set" => {
            if !keys.is_empty() {
                let detail = "must be empty if x-kubernetes-list-type is not map";
                errors.invalid(&at, shown_json(&schema["x-kubernetes-list-map-keys"]), detail);
            }
            let scalar = matches!(text(&schema["items"], "type"), "string" | "integer" | "number" | "boolean" | "");
            let atomic =
                schema["items"]["x-kubernetes-map-type"] == "atomic" || text(&schema["items"], "type") == "array";
            if list_type == "set" && !scalar && !atomic {
                let at = path.field("items");
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                errors.invalid(
                    &at.field("x-kubernetes-map-type"),
                    text(&schema["items"], "x-kubernetes-map-type"),
                    detail,
                );
            }
        }
        other => errors.not_supported(&path.field("x-kubernetes-list-type"), other, &["atomic", "map", "set"]),
    }
}

/// Keys are properties of the elements, scalar, and always there.
fn check_keys(items: &Value, keys: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let at = path.field("items");
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.invalid(&at.field("type"), text(items, "type"), detail);
        return;
    }
    let required: Vec<&str> = items["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (index, key) in keys.iter().enumerate() {
        let property = &items["properties"][*key];
        if !property.is_object() {
            let names = path.field("x-kubernetes-list-map-keys");
            errors.invalid(&names.index(index), *key, "entries must all be names of item properties");
            continue;
        }
        if keys[..index].contains(key) {
            errors.duplicate(&path.field("x-kubernetes-list-map-keys").index(index), *key);
        }
        let properties = at.field("properties");
        let property_at = properties.key(key);
        if matches!(text(property, "type"), "object" | "array") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.invalid(&property_at.field("type"), text(property, "type"), detail);
        }
        if !required.contains(key) && property["default"].is_null() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&property_at.field("default"), detail);
        }
    }
}
