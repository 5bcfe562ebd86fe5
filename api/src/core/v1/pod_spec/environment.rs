//! Rules for environment variables and the fields of a pod that they and downward volumes can show.

use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

/// Fields of a pod that an environment variable can show.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a pod that a file of a downward volume can show.
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Checks `env` and `envFrom`.
pub(super) fn check(container: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for (index, variable) in container.items_at("env").iter().enumerate() {
        let path = path.field("env");
        let path = path.index(index);
        let name = variable.str_at("name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else {
            errors.invalid_each(&path.field("name"), name, names::environment_variable(name));
        }
        if let Some(source) = variable.get("valueFrom") {
            check_source(source, variable.str_at("value"), &path.field("valueFrom"), errors);
        }
    }
    for (index, from) in container.items_at("envFrom").iter().enumerate() {
        let path = path.field("envFrom");
        let path = path.index(index);
        let prefix = from.str_at("prefix");
        if !prefix.is_empty() {
            errors.invalid_each(&path.field("prefix"), prefix, names::environment_variable(prefix));
        }
        let given: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|field| from.get(field).is_some()).collect();
        match given.as_slice() {
            [] => errors.invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`"),
            [field] => require(from, &format!("{field}.name"), &path.field(field).field("name"), errors),
            _ => errors.invalid(&path, "", "may not have more than one field specified at a time"),
        }
    }
}

fn require(node: &Node, at: &str, path: &Path<'_>, errors: &mut Errors) {
    if node.str_at(at).is_empty() {
        errors.required(path, "");
    }
}

fn check_source(source: &Node, value: &str, path: &Path<'_>, errors: &mut Errors) {
    let given: Vec<&str> = SOURCES.into_iter().filter(|field| source.get(field).is_some()).collect();
    match given.as_slice() {
        [] => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.invalid(path, "", detail);
        }
        _ if !value.is_empty() => errors.invalid(path, "", "may not be specified when `value` is not empty"),
        [field] => check_reference(source, field, &path.field(field), errors),
        _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
    }
}

fn check_reference(source: &Node, field: &str, path: &Path<'_>, errors: &mut Errors) {
    let Some(reference) = source.get(field) else { return };
    match field {
        "fieldRef" => check_field(reference, &ENV_FIELDS, path, errors),
        "resourceFieldRef" => require(reference, "resource", &path.field("resource"), errors),
        "fileKeyRef" => {
            for name in ["volumeName", "path", "key"] {
                require(reference, name, &path.field(name), errors);
            }
        }
        _ => {
            require(reference, "name", &path.field("name"), errors);
            let key = reference.str_at("key");
            if key.is_empty() {
                errors.required(&path.field("key"), "");
            } else {
                errors.invalid_each(&path.field("key"), key, names::config_map_key(key));
            }
        }
    }
}

/// Checks a reference to a field of the pod itself.
fn check_field(reference: &Node, known: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let field = reference.str_at("fieldPath");
    require(reference, "apiVersion", &path.field("apiVersion"), errors);
    if field.is_empty() {
        errors.required(&path.field("fieldPath"), "");
        return;
    }
    let path = path.field("fieldPath");
    if let Some((base, subscript)) = field.split_once('[') {
        let key = subscript.strip_suffix(']').unwrap_or(subscript).trim_matches(['\'', '"']);
        match base {
            "metadata.labels" => errors.invalid_each(&path, key, names::qualified_name(key)),
            "metadata.annotations" => {
                errors.invalid_each(&path, key, names::qualified_name(&key.to_ascii_lowercase()));
            }
            _ => errors.invalid(&path, field, "does not support subscript"),
        }
    } else if !known.contains(&field) {
        errors.not_supported(&path, field, known);
    }
}

/// Checks the items of a downward volume.
pub(super) fn check_downward(items: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let file = item.str_at("path");
        if file.is_empty() {
            errors.required(&path.field("path"), "");
        } else {
            super::container::check_relative(file, &path.field("path"), errors);
        }
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(_), Some(_)) => {
                errors.invalid(&path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
            (Some(reference), None) => check_field(reference, &FILE_FIELDS, &path.field("fieldRef"), errors),
            (None, Some(reference)) => {
                for field in ["containerName", "resource"] {
                    require(reference, field, &path.field("resourceFieldRef").field(field), errors);
                }
            }
            (None, None) => {
                errors.required(&path.field("fieldRef"), "one of fieldRef and resourceFieldRef is required")
            }
        }
    }
}
