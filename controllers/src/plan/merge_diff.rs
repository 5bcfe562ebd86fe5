//! The JSON merge patch (RFC 7386) that leads from one object to another.

use serde::Serialize;
use serde_json::{Map, Value};

/// The patch, or `None` when both are equal. Members that go are set to null; lists are replaced whole.
pub(crate) fn merge_diff(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return Some(after.clone()) };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        if let Some(change) = merge_diff(before.get(name).unwrap_or(&Value::Null), value) {
            patch.insert(name.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

/// The same for typed objects.
pub(crate) fn between<T: Serialize>(before: &T, after: &T) -> Option<Value> {
    merge_diff(&json(before), &json(after))
}

/// A typed object as JSON.
pub(crate) fn json<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("Kubernetes types have string keys only")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_patch_holds_what_differs() {
        for (before, after, expect) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"a": 1, "b": {"c": 1}}), Some(json!({"b": {"d": null}}))),
            (json!({"a": [1]}), json!({"a": [1, 2]}), Some(json!({"a": [1, 2]}))),
            (json!({}), json!({"a": {"b": 1}}), Some(json!({"a": {"b": 1}}))),
        ] {
            assert_eq!(merge_diff(&before, &after), expect, "{before} -> {after}");
        }
    }
}
