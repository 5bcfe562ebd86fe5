//! One step of a field path: a field, a list element by its keys, by its value, or by its place.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json;
use crate::node::{Node, Struct};
use crate::schema::{FieldKind, Topology};

/// A scalar that tells list elements apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// Null.
    Null,
    /// Truth value.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// A number that is no integer, as JSON text.
    Number(Box<str>),
    /// Text.
    Text(Box<str>),
}

/// One step of a field path. The order is upstream's: fields, keys, values, indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// `f:name`: a struct's field or a map's key.
    Field(Cow<'static, str>),
    /// `k:{...}`: the list element with these keys, sorted by name.
    Keys(Box<[(Cow<'static, str>, Scalar)]>),
    /// `v:...`: the element of a set.
    Value(Scalar),
    /// `i:...`: the element at a place.
    Index(usize),
}

impl Scalar {
    pub(super) fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(Self::Null),
            Node::Bool(value) => Some(Self::Bool(*value)),
            Node::Int(value) => Some(Self::Int(*value)),
            Node::Str(text) => Some(Self::Text(text.clone())),
            Node::Float(_) => {
                let mut out = vec![];
                json::write_node(&mut out, &FieldKind::Float, node);
                Some(Self::Number(String::from_utf8_lossy(&out).into()))
            }
            Node::Struct(_) | Node::List(_) | Node::Map(_) | Node::Raw(_) => None,
        }
    }

    pub(super) fn of_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Null => Some(Self::Null),
            serde_json::Value::Bool(value) => Some(Self::Bool(*value)),
            serde_json::Value::Number(number) => {
                Some(number.as_i64().map_or_else(|| Self::Number(number.to_string().into()), Self::Int))
            }
            serde_json::Value::String(text) => Some(Self::Text(text.as_str().into())),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        }
    }

    /// Writes the scalar as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(value) => json::push_int(out, *value),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => json::write_string(out, text),
        }
    }

    fn text(&self) -> String {
        let mut out = vec![];
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl PathElement {
    pub(super) fn field(name: &'static str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }

    pub(super) fn key(name: &str) -> Self {
        Self::Field(Cow::Owned(name.to_owned()))
    }

    /// The step to a list's element.
    pub(super) fn of_item(topology: Topology, item: &Node, index: usize) -> Self {
        match (topology, item) {
            (Topology::Keyed(names), Node::Struct(item)) => Self::of_keys(names, item),
            (Topology::Set, item) => Scalar::of(item).map(Self::Value),
            _ => None,
        }
        .unwrap_or(Self::Index(index))
    }

    /// The keys that an element has, or has by default; `None` if it has none of them.
    fn of_keys(names: &[&'static str], item: &Struct) -> Option<Self> {
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let (_, field) = item.ty().field(name)?;
            let scalar = match item.get(name) {
                Some(node) => Scalar::of(node),
                None if !field.default.is_empty() => {
                    serde_json::from_str(field.default).ok().as_ref().and_then(Scalar::of_json)
                }
                None if !field.pointer && !field.omit_empty => Scalar::of(&Node::zero(&field.kind)),
                None => None,
            };
            if let Some(scalar) = scalar {
                keys.push((Cow::Borrowed(*name), scalar));
            }
        }
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if keys.is_empty() { None } else { Some(Self::Keys(keys.into())) }
    }

    /// Reads a key of FieldsV1.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(2)?;
        match kind {
            "f:" => Some(Self::Field(Cow::Owned(rest.to_owned()))),
            "k:" => {
                let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(rest).ok()?;
                let pair =
                    |(name, value): (String, serde_json::Value)| Some((Cow::Owned(name), Scalar::of_json(&value)?));
                let mut keys: Vec<(Cow<'static, str>, Scalar)> = keys.into_iter().map(pair).collect::<Option<_>>()?;
                keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                Some(Self::Keys(keys.into()))
            }
            "v:" => Some(Self::Value(Scalar::of_json(&serde_json::from_str(rest).ok()?)?)),
            "i:" => Some(Self::Index(rest.parse().ok()?)),
            _ => None,
        }
    }

    /// Writes the key of FieldsV1, quoted.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut text = vec![];
        match self {
            Self::Field(name) => {
                text.extend_from_slice(b"f:");
                text.extend_from_slice(name.as_bytes());
            }
            Self::Keys(keys) => {
                text.extend_from_slice(b"k:{");
                for (index, (name, value)) in keys.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    json::write_string(&mut text, name);
                    text.push(b':');
                    value.write(&mut text);
                }
                text.push(b'}');
            }
            Self::Value(value) => {
                text.extend_from_slice(b"v:");
                value.write(&mut text);
            }
            Self::Index(index) => text.extend_from_slice(format!("i:{index}").as_bytes()),
        }
        json::write_string(out, &String::from_utf8_lossy(&text));
    }

    /// The step as it reads in a conflict: `.name`, `[name="a"]`, `[="v"]`, `[0]`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Keys(keys) => {
                let pairs: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
                format!("[{}]", pairs.join(","))
            }
            Self::Value(value) => format!("[={}]", value.text()),
            Self::Index(index) => format!("[{index}]"),
        }
    }

    /// Whether this is the field or key `name`.
    pub(super) fn compare_name(&self, name: &str) -> Ordering {
        match self {
            Self::Field(present) => (**present).cmp(name),
            Self::Keys(_) | Self::Value(_) | Self::Index(_) => Ordering::Greater,
        }
    }
}
