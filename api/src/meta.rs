//! The rules of `metadata`, alike for all kinds.

use crate::apiextensions::v1::custom_resource_definition::CLEANUP_FINALIZER;
use crate::kind::Kind;
use crate::names;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::validation::{Errors, Path, Value, quoted};

/// The bytes all annotations of an object may have together.
const ANNOTATIONS_MAX: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";

/// Makes a field of the metadata what it is in `old`.
pub(crate) fn copy(new: &mut Object, old: &Object, field: &str) {
    match old.metadata().and_then(|metadata| metadata.get(field)) {
        Some(node) => new.metadata_mut().set(field, node.clone()),
        None => drop(new.metadata_mut().remove(field)),
    }
}

/// The names and sizes of an object's metadata.
pub(crate) fn check(kind: &Kind, object: &Object, errors: &mut Errors) {
    let path = Path::Root.field("metadata");
    let base = object.str_at("metadata.generateName");
    if !base.is_empty() {
        // The base may end where a suffix goes on.
        let problems = (kind.name_rule)(&format!("{}a", base.trim_end_matches('-')));
        errors.invalid_each(&path.field("generateName"), base, problems);
    }
    if object.name().is_empty() {
        errors.required(&path.field("name"), "name or generateName is required");
    } else {
        errors.invalid_each(&path.field("name"), object.name(), (kind.name_rule)(object.name()));
    }
    match (kind.is_namespaced(), object.namespace()) {
        (true, "") => errors.required(&path.field("namespace"), ""),
        (true, namespace) => {
            errors.invalid_each(&path.field("namespace"), namespace, names::dns1123_label(namespace));
        }
        (false, "") => {}
        (false, _) => errors.forbidden(&path.field("namespace"), "not allowed on this type"),
    }
    check_common(object, &path, errors);
}

fn check_common(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    if object.generation() < 0 {
        errors.invalid(&path.field("generation"), object.generation(), "must be greater than or equal to 0");
    }
    check_labels(object.labels(), &path.field("labels"), errors);
    check_annotations(object.annotations(), &path.field("annotations"), errors);
    check_owners(object, &path.field("ownerReferences"), errors);
    for (index, finalizer) in object.finalizers().enumerate() {
        check_finalizer(finalizer, &path.field("finalizers").index(index), errors);
    }
}

/// Keys and values of labels.
pub(crate) fn check_labels(labels: Option<&Map>, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels.into_iter().flat_map(Map::iter) {
        errors.invalid_each(path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or("");
        errors.invalid_each(path, value, names::label_value(value));
    }
}

/// Keys and the total size of annotations.
pub(crate) fn check_annotations(annotations: Option<&Map>, path: &Path<'_>, errors: &mut Errors) {
    let mut total = 0;
    for (key, value) in annotations.into_iter().flat_map(Map::iter) {
        errors.invalid_each(path, key, names::qualified_name(&key.to_ascii_lowercase()));
        total += key.len() + value.as_str().unwrap_or("").len();
    }
    if total > ANNOTATIONS_MAX {
        errors.too_long(path, ANNOTATIONS_MAX);
    }
}

fn check_owners(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    let mut controller: Option<&Struct> = None;
    for (index, owner) in object.owner_references().enumerate() {
        let path = path.index(index);
        if crate::schema::split_api_version(owner.str_at("apiVersion")).1.is_empty() {
            errors.invalid(&path.field("apiVersion"), owner.str_at("apiVersion"), "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if owner.str_at(field).is_empty() {
                errors.invalid(&path.field(field), "", "must not be empty");
            }
        }
        if owner.bool_at("controller") == Some(true) {
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                    first.str_at("name"),
                    owner.str_at("name")
                );
                errors.invalid(&path, Value::text(owner.str_at("name")), detail);
            }
            controller = Some(owner);
        }
    }
}

/// A finalizer is a qualified name; only Kubernetes' own have no domain.
pub(crate) fn check_finalizer(finalizer: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems = names::qualified_name(finalizer);
    if problems.is_empty()
        && !finalizer.contains('/')
        && !matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion" | CLEANUP_FINALIZER)
    {
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
    errors.invalid_each(path, finalizer, problems);
}

/// What an update may not change.
pub(crate) fn check_update(_kind: &Kind, new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("metadata");
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = |object: &Object| object.metadata().and_then(|metadata| metadata.get(field)).cloned();
        let (new, old) = (value(new), value(old));
        if new != old {
            let shown = match new {
                Some(Node::Str(text)) => Value::Str(text.into()),
                Some(Node::Int(number)) => Value::from(number),
                _ => Value::text("null"),
            };
            errors.invalid(&path.field(field), shown, IMMUTABLE);
        }
    }
    if new.generation() < old.generation() {
        errors.invalid(&path.field("generation"), new.generation(), "must not be decremented");
    }
    if old.is_deleting() {
        let added: Vec<String> = new
            .finalizers()
            .filter(|finalizer| !old.finalizers().any(|known| known == *finalizer))
            .map(quoted)
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.forbidden(&path.field("finalizers"), detail);
        }
    }
    check_common(new, &path, errors);
}

/// Whether a field of the body changed, in which case it is reported as immutable.
pub(crate) fn check_immutable(new: Option<&Node>, old: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    if new != old {
        errors.invalid(path, shown(new), IMMUTABLE);
    }
}

/// A node as it is shown in a field error: text in quotes, anything else as JSON.
pub(crate) fn shown(node: Option<&Node>) -> Value {
    match node {
        Some(Node::Str(text)) => Value::Str(text.to_string()),
        Some(node) => Value::text(json(node)),
        None => Value::text("null"),
    }
}

fn json(node: &Node) -> String {
    let list = |items: Vec<String>| items.join(",");
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Int(value) => value.to_string(),
        Node::Float(value) => value.to_string(),
        Node::Str(text) => quoted(text),
        Node::Raw(text) => text.to_string(),
        Node::Struct(value) => String::from_utf8_lossy(&crate::json::encode_struct(value)).into_owned(),
        Node::List(items) => format!("[{}]", list(items.iter().map(json).collect())),
        Node::Map(map) => {
            format!("{{{}}}", list(map.iter().map(|(key, value)| format!("{}:{}", quoted(key), json(value))).collect()))
        }
    }
}
