//! Definitions of kinds that users defined: their own schema, with what every object has.

use api::kind::Kind;
use serde_json::{Map, Value, json};

use super::Dialect;
use super::descriptions::Description;
use crate::catalog::Custom;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The name of a kind's definition: `com.example.stable.v1.CronTab`.
pub(super) fn name(kind: &Kind) -> String {
    let reversed: Vec<&str> = kind.group.rsplit('.').collect();
    format!("{}.{}.{}", reversed.join("."), kind.version, kind.kind)
}

/// The name of the definition of a list.
pub(super) fn list_name(kind: &Kind) -> String {
    let own = name(kind);
    let prefix = own.strip_suffix(kind.kind).unwrap_or_default();
    format!("{prefix}{}", kind.list_kind())
}

/// The definition of an object.
pub(super) fn definition(custom: &Custom, dialect: Dialect) -> Value {
    let mut schema: Value = serde_json::from_str(&custom.schema).unwrap_or_default();
    if !schema.is_object() {
        schema = json!({ "type": "object" });
    }
    if dialect == Dialect::V2 {
        simplify(&mut schema);
    }
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| Map::new().into());
        properties["apiVersion"] = json!({ "type": "string", "description": of_pod("apiVersion") });
        properties["kind"] = json!({ "type": "string", "description": of_pod("kind") });
        properties["metadata"] = described(dialect.reference(OBJECT_META), of_pod("metadata"), dialect);
    }
    schema["x-kubernetes-group-version-kind"] = kinds(custom.kind, custom.kind.kind);
    schema
}

/// The definition of a list.
pub(super) fn list(name: &str, kind: &Kind, dialect: Dialect) -> Value {
    let list_kind = kind.list_kind();
    json!({
        "description": format!("{list_kind} is a list of objects of the kind {}.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": of_pod("apiVersion") },
            "items": {
                "type": "array",
                "description": format!("The objects of the kind {}.", kind.kind),
                "items": dialect.reference(name),
            },
            "kind": { "type": "string", "description": of_pod("kind") },
            "metadata": described(
                dialect.reference(LIST_META),
                "The revision of the list, and how to go on if it is not complete.".into(),
                dialect,
            ),
        },
        "x-kubernetes-group-version-kind": kinds(kind, &list_kind),
    })
}

fn kinds(kind: &Kind, name: &str) -> Value {
    json!([{ "group": kind.group, "kind": name, "version": kind.version }])
}

/// A reference stands alone in version 3.
fn described(reference: Value, description: Value, dialect: Dialect) -> Value {
    let mut schema = if dialect == Dialect::V3 { json!({ "allOf": [reference] }) } else { reference };
    schema["description"] = description;
    schema
}

fn of_pod(field: &str) -> Value {
    let pod = Description::of("io.k8s.api.core.v1.Pod");
    pod.and_then(|pod| pod.field(field).cloned()).unwrap_or_default()
}

/// Version 2 knows neither alternatives nor null, and clients of it take a wrong type for a mistake of the user.
fn simplify(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    let open = fields.get("x-kubernetes-int-or-string").is_some_and(|value| value == true)
        || fields.get("nullable").is_some_and(|value| value == true);
    for word in ["allOf", "anyOf", "oneOf", "not", "nullable"] {
        fields.remove(word);
    }
    if open {
        for word in ["type", "properties", "items", "additionalProperties", "enum"] {
            fields.remove(word);
        }
    }
    if fields.get("additionalProperties").is_some_and(Value::is_boolean) {
        fields.remove("additionalProperties");
    }
    for (_, inner) in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        simplify(inner);
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(word) {
            simplify(inner);
        }
    }
}
