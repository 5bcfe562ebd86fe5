//! `ConfigMap`: configuration as named texts and bytes.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::names;
use crate::node::{Map, Node};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The bytes all keys and values may have together.
const SIZE_MAX: usize = 1024 * 1024;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    short_names: &["cm"],
    ty: &types::CORE_V1_CONFIG_MAP,
    columns: &[name_column(), column("Data", "How many keys there are."), age_column()],
    row,
    check,
    check_update,
    ..Kind::BASE
};

fn maps(object: &Object) -> impl Iterator<Item = (&'static str, &str, &Node)> {
    ["data", "binaryData"].into_iter().flat_map(|field| {
        let map = object.at(field).and_then(Node::as_map);
        map.into_iter().flat_map(Map::iter).map(move |(key, value)| (field, key, value))
    })
}

fn row(object: &Object, now: Timestamp) -> Row {
    let keys = i64::try_from(maps(object).count()).unwrap_or(i64::MAX);
    Row::of([object.name().into(), keys.into(), Row::age(object, now)])
}

fn check(object: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let mut size = 0;
    for (field, key, value) in maps(object) {
        let path = root.field(field);
        let path = path.key(key);
        errors.invalid_each(&path, key, names::config_map_key(key));
        if field == "data" && object.at("binaryData").is_some_and(|binary| binary.get(key).is_some()) {
            errors.invalid(&path, key, "duplicate of key present in binaryData");
        }
        let text = value.as_str().unwrap_or("");
        size += key.len() + if field == "data" { text.len() } else { decoded_len(text) };
    }
    if size > SIZE_MAX {
        errors.too_long(&root, SIZE_MAX);
    }
}

/// The bytes that base64 text stands for.
pub(crate) fn decoded_len(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|byte| *byte == b'=').count().min(base64.len() / 4 * 3)
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    check_frozen(new, old, &["data", "binaryData"], errors);
}

/// An immutable object keeps its data, and stays immutable.
pub(crate) fn check_frozen(new: &Object, old: &Object, fields: &[&str], errors: &mut Errors) {
    if old.body.bool_at("immutable") != Some(true) {
        return;
    }
    let root = Path::Root;
    if new.body.bool_at("immutable") != Some(true) {
        errors.forbidden(&root.field("immutable"), "field is immutable when `immutable` is set");
    }
    for field in fields {
        if new.at(field) != old.at(field) {
            errors.forbidden(&root.field(field), "field is immutable when `immutable` is set");
        }
    }
}
