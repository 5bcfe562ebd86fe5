//! Objects for tests, written as YAML.

use jiff::Timestamp;

use crate::json::{self, Options};
use crate::kind::Kind;
use crate::object::Object;

/// The moment at which tests look at objects.
pub(crate) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// An object as a client writes it. Its namespace is `default` unless it says otherwise.
pub(crate) fn written(kind: &Kind, yaml: &str) -> Object {
    let text = crate::yaml::to_json(yaml).unwrap();
    let decoded = json::decode(kind.ty, &text, Options::CHECKED).unwrap();
    assert_eq!(decoded.problems, []);
    let mut object = decoded.object;
    if object.name().is_empty() {
        object.set("metadata.name", "web");
    }
    if kind.is_namespaced() && object.namespace().is_empty() {
        object.set("metadata.namespace", "default");
    }
    object
}

/// An object with its defaults, as it is before preparation.
pub(crate) fn defaulted(kind: &Kind, yaml: &str) -> Object {
    let mut object = written(kind, yaml);
    kind.default(&mut object);
    object
}

/// An object that has just been created.
pub(crate) fn created(kind: &Kind, yaml: &str) -> Object {
    let mut object = defaulted(kind, yaml);
    kind.prepare_for_create(&mut object);
    object
}

/// What is wrong with a new object.
pub(crate) fn errors(kind: &Kind, yaml: &str) -> Vec<String> {
    kind.validate(&created(kind, yaml)).iter().map(ToString::to_string).collect()
}

/// What is wrong with the step from one object to another.
pub(crate) fn update_errors(kind: &Kind, old: &str, new: &str) -> Vec<String> {
    let old = created(kind, old);
    let mut new = defaulted(kind, new);
    kind.prepare_for_update(&mut new, &old);
    kind.validate_update(&new, &old).iter().map(ToString::to_string).collect()
}

/// The row of an object as text.
pub(crate) fn row(kind: &Kind, yaml: &str) -> String {
    let cells = kind.table_row(&written(kind, yaml), now()).cells;
    cells.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// Each row: a kind, an object, what is wrong with it.
pub(crate) fn check_all(table: &[(&Kind, &str, &[&str])]) {
    for (kind, yaml, want) in table {
        assert_eq!(errors(kind, yaml), *want, "{kind:?}\n{yaml}");
    }
}
