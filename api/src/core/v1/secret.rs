//! `Secret`: named bytes that are encrypted at rest and shown to few.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::config_map::{check_frozen, decoded_len};
use crate::kind::{Kind, SelectableField, field_paths};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const SIZE_MAX: usize = 1024 * 1024;

/// Types of secrets and the keys they must have.
const REQUIRED_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

const FIELDS: [SelectableField; 1] = [SelectableField::text("type")];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "secrets",
    singular: "secret",
    kind: "Secret",
    ty: &types::CORE_V1_SECRET,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Type", "What the secret is for."),
        column("Data", "How many keys there are."),
        age_column(),
    ],
    row,
    defaults,
    check,
    check_update,
    ..Kind::BASE
};

/// `stringData` is data that the client did not want to encode; it wins and is never stored.
fn defaults(secret: &mut Struct) {
    secret.set_default("type", "Opaque");
    let Some(Node::Map(plain)) = secret.remove("stringData") else { return };
    let Node::Map(data) = secret.entry("data") else { return };
    for (key, value) in plain.iter() {
        data.insert(key, STANDARD.encode(value.as_str().unwrap_or("")));
    }
    if data.is_empty() {
        secret.remove("data");
    }
}

fn data(secret: &Object) -> Option<&Map> {
    secret.at("data").and_then(Node::as_map)
}

fn row(secret: &Object, now: Timestamp) -> Row {
    let keys = i64::try_from(data(secret).map_or(0, Map::len)).unwrap_or(i64::MAX);
    Row::of([secret.name().into(), secret.str_at("type").into(), keys.into(), Row::age(secret, now)])
}

fn check(secret: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let path = root.field("data");
    let mut size = 0;
    for (key, value) in data(secret).into_iter().flat_map(Map::iter) {
        errors.invalid_each(&path.key(key), key, names::config_map_key(key));
        size += decoded_len(value.as_str().unwrap_or(""));
    }
    if size > SIZE_MAX {
        errors.too_long(&path, SIZE_MAX);
    }
    let kind = secret.str_at("type");
    for key in REQUIRED_KEYS.iter().filter(|(name, _)| *name == kind).flat_map(|(_, keys)| *keys) {
        if data(secret).is_none_or(|data| data.get(key).is_none()) {
            errors.required(&path.key(key), "");
        }
    }
    if kind == "kubernetes.io/service-account-token"
        && secret.annotation("kubernetes.io/service-account.name").unwrap_or("").is_empty()
    {
        let path = root.field("metadata");
        errors.required(&path.field("annotations").key("kubernetes.io/service-account.name"), "");
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    check_immutable(new.at("type"), old.at("type"), &Path::Root.field("type"), errors);
    check_frozen(new, old, &["data"], errors);
}
