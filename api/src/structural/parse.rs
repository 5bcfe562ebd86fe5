//! From the JSON of `openAPIV3Schema`. What is malformed is passed over: [`check`](super::check) reports it.

use serde_json::Value;

use super::schema::{Additional, JsonType, ListType, Pattern, Rules, Structural};
use crate::node::{Map, Node};

impl Structural {
    /// Reads a schema.
    pub fn parse(schema: &Value) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let mut parsed = Self {
            ty: schema["type"].as_str().map_or(JsonType::Any, JsonType::parse),
            nullable: flag("nullable"),
            default: schema.get("default").filter(|default| !default.is_null()).map(node),
            properties: members(schema, "properties").map(|(name, inner)| (name.into(), Self::parse(inner))).collect(),
            additional: additional(schema),
            items: schema.get("items").filter(|items| items.is_object()).map(|items| Box::new(Self::parse(items))),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map,
                _ => ListType::Atomic,
            },
            list_map_keys: texts(schema, "x-kubernetes-list-map-keys").collect(),
            atomic: schema["x-kubernetes-map-type"] == "atomic",
            rules: rules(schema),
            defaults_below: false,
        };
        parsed.defaults_below = parsed.default.is_some() || parsed.children().any(|child| child.defaults_below);
        parsed
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        let additional = match &self.additional {
            Additional::Of(schema) => Some(&**schema),
            Additional::Nothing | Additional::Anything => None,
        };
        self.properties.values().chain(additional).chain(self.items.as_deref())
    }
}

impl JsonType {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "" => Self::Any,
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Unknown,
        }
    }
}

fn members<'v>(schema: &'v Value, name: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    schema.get(name).and_then(Value::as_object).into_iter().flatten().map(|(name, inner)| (name.as_str(), inner))
}

fn texts<'v>(schema: &'v Value, name: &str) -> impl Iterator<Item = Box<str>> + 'v {
    schema.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(Into::into)
}

fn additional(schema: &Value) -> Additional {
    match schema.get("additionalProperties") {
        Some(Value::Bool(true)) => Additional::Anything,
        Some(inner) if inner.is_object() => Additional::Of(Box::new(Structural::parse(inner))),
        _ => Additional::Nothing,
    }
}

fn rules(schema: &Value) -> Option<Box<Rules>> {
    const WORDS: [&str; 19] = [
        "enum",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ];
    if !WORDS.iter().any(|word| schema.get(word).is_some()) {
        return None;
    }
    let count = |name: &str| schema[name].as_u64().and_then(|count| usize::try_from(count).ok());
    let bound = |name: &str, exclusive: &str| {
        schema[name].as_f64().map(|bound| (bound, schema[exclusive].as_bool().unwrap_or(false)))
    };
    let nested = |name: &str| -> Vec<Structural> {
        schema.get(name).and_then(Value::as_array).into_iter().flatten().map(Structural::parse).collect()
    };
    Some(Box::new(Rules {
        variants: schema.get("enum").and_then(Value::as_array).into_iter().flatten().map(node).collect(),
        format: schema["format"].as_str().unwrap_or_default().into(),
        pattern: schema["pattern"].as_str().filter(|pattern| !pattern.is_empty()).map(Pattern::new),
        minimum: bound("minimum", "exclusiveMinimum"),
        maximum: bound("maximum", "exclusiveMaximum"),
        multiple_of: schema["multipleOf"].as_f64(),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
        required: texts(schema, "required").collect(),
        all_of: nested("allOf"),
        any_of: nested("anyOf"),
        one_of: nested("oneOf"),
        not: schema.get("not").filter(|not| not.is_object()).map(Structural::parse),
    }))
}

/// Plain JSON as a node.
pub(crate) fn node(value: &Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Node::Float(number.as_f64().unwrap_or_default()), Node::Int)
        }
        Value::String(text) => Node::Str(text.as_str().into()),
        Value::Array(items) => Node::List(items.iter().map(node).collect()),
        Value::Object(fields) => {
            Node::Map(Map::from_entries(fields.iter().map(|(key, value)| (key.as_str().into(), node(value))).collect()))
        }
    }
}
