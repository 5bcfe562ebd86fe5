//! Strategic merge: maps are merged, lists by the patch strategy of their field, and directives say the rest.
//!
//! `$patch` replaces or deletes a map or list element, `$retainKeys` names the keys of a map that stay,
//! `$deleteFromPrimitiveList/x` takes scalars out of the list x and `$setElementOrder/x` gives the order of its
//! elements. Elements of lists are told apart by the merge key of the field, which is not always the key that
//! server-side apply uses.

use serde_json::{Map, Value};

use super::Error;
use crate::schema::{FieldKind, PatchStrategy, Type};

mod list;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

type Fields = Map<String, Value>;

/// What the schema knows of a value.
#[derive(Clone, Copy)]
enum Shape {
    Struct(Type),
    Other(&'static FieldKind),
    Unknown,
}

impl Shape {
    fn of(kind: &'static FieldKind) -> Self {
        match kind {
            FieldKind::Struct(ty) => Self::Struct(ty),
            kind => Self::Other(kind),
        }
    }

    /// Shape and strategy of a member.
    fn member(self, name: &str) -> (Self, Option<PatchStrategy>) {
        match self {
            Self::Struct(ty) => match ty.field(name) {
                Some((_, field)) => (Self::of(&field.kind), Some(field.patch)),
                None => (Self::Unknown, None),
            },
            Self::Other(FieldKind::Map(kind)) => (Self::of(kind), None),
            _ => (Self::Unknown, None),
        }
    }

    fn element(self) -> Self {
        match self {
            Self::Other(FieldKind::List(kind)) => Self::of(kind),
            _ => Self::Unknown,
        }
    }
}

pub(super) fn apply(ty: Type, original: Fields, patch: Fields) -> Result<Fields, Error> {
    merge_map(Shape::Struct(ty), original, patch)
}

fn merge_map(shape: Shape, mut original: Fields, mut patch: Fields) -> Result<Fields, Error> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => merge_map(shape, Fields::new(), patch),
            Some("delete") => Ok(Fields::new()),
            Some("merge") => merge_map(shape, original, patch),
            _ => Err(Error::Malformed(format!("unknown patch type found: {directive} in map"))),
        };
    }
    if let Some(keys) = patch.remove(RETAIN_KEYS) {
        retain_keys(&mut original, &patch, &keys)?;
    }
    let orders: Vec<String> = patch.keys().filter(|key| key.starts_with(ORDER_PREFIX)).cloned().collect();
    let mut ordered = vec![];
    for key in orders {
        if let (Some(Value::Array(order)), Some(name)) = (patch.remove(&key), key.strip_prefix(ORDER_PREFIX)) {
            ordered.push((name.to_owned(), order));
        } else {
            return Err(Error::Malformed(format!("{key} must be a list")));
        }
    }
    // Deletions come first, whatever their place, so that a scalar deleted and added again is there in the end.
    let (deletions, rest): (Vec<_>, Vec<_>) = patch.into_iter().partition(|(key, _)| key.starts_with(DELETE_PREFIX));
    for (key, values) in deletions {
        let Value::Array(values) = values else { return Err(Error::Malformed(format!("{key} must be a list"))) };
        if let Some(Value::Array(items)) = original.get_mut(&key[DELETE_PREFIX.len()..]) {
            items.retain(|item| !values.contains(item));
        }
    }
    let before: Vec<Option<Vec<Value>>> =
        ordered.iter().map(|(name, _)| original.get(name).and_then(Value::as_array).cloned()).collect();
    for (key, value) in rest {
        merge_member(shape, &mut original, key, value)?;
    }
    for ((name, order), before) in ordered.into_iter().zip(before) {
        let merge_key = shape.member(&name).1.map_or("", |strategy| strategy.merge_key);
        if let Some(Value::Array(items)) = original.get_mut(&name) {
            *items = list::arrange(std::mem::take(items), &order, &before.unwrap_or_default(), merge_key);
        }
    }
    Ok(original)
}

fn retain_keys(original: &mut Fields, patch: &Fields, keys: &Value) -> Result<(), Error> {
    let malformed = || Error::Malformed("invalid patch format of retainKeys".into());
    let keys = keys.as_array().ok_or_else(malformed)?;
    let retained = |key: &String| keys.iter().any(|retained| retained.as_str() == Some(key));
    let covered = |(key, value): (&String, &Value)| value.is_null() || key.starts_with('$') || retained(key);
    if !patch.iter().all(covered) {
        return Err(malformed());
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

fn merge_member(shape: Shape, original: &mut Fields, key: String, patch: Value) -> Result<(), Error> {
    if patch.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let (member, strategy) = shape.member(&key);
    let replaces = strategy.is_some_and(|strategy| strategy.replace);
    let present = original.remove(&key);
    let merged = match patch {
        Value::Object(patch) => {
            let present = match present {
                Some(Value::Object(present)) if !replaces => present,
                _ => Fields::new(),
            };
            Value::Object(merge_map(member, present, patch)?)
        }
        Value::Array(patch) if strategy.is_some_and(|strategy| strategy.merge) => {
            let present = match present {
                Some(Value::Array(present)) => present,
                _ => vec![],
            };
            let merge_key = strategy.map_or("", |strategy| strategy.merge_key);
            Value::Array(list::merge(member.element(), present, patch, merge_key)?)
        }
        other => other,
    };
    original.insert(key, merged);
    Ok(())
}
