//! Devices: names, attributes, taints, tolerations.

use crate::core::v1::pod_spec::check_choice;
use crate::names;
use crate::node::{Map, Node};
use crate::validation::{Errors, Path};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const DOMAIN_MAX: usize = 63;
const IDENTIFIER_MAX: usize = 32;
const VALUE_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const ATTRIBUTES_MAX: usize = 32;

/// Checks the name of an attribute or a capacity: a C identifier, with the domain of who defines it before it.
pub(super) fn check_qualified_name(name: &str, with_domain: bool, path: &Path<'_>, errors: &mut Errors) {
    let (domain, identifier) = match name.split_once('/') {
        _ if name.is_empty() => return errors.required(path, "name required"),
        Some((domain, identifier)) if !identifier.contains('/') => (Some(domain), identifier),
        None => (None, name),
        Some(_) => return errors.invalid(path, name, "must be of the form `<domain>/<name>` or `<name>`"),
    };
    match domain {
        Some("") => errors.required(path, "the domain must not be empty"),
        Some(domain) if domain.len() > DOMAIN_MAX => errors.too_long(path, DOMAIN_MAX),
        Some(domain) => errors.invalid_each(path, domain, names::dns1123_subdomain(domain)),
        None if with_domain => {
            errors.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")
        }
        None => {}
    }
    if identifier.is_empty() {
        errors.required(path, "the name must not be empty");
        return;
    }
    if identifier.len() > IDENTIFIER_MAX {
        errors.too_long(path, IDENTIFIER_MAX);
    }
    errors.invalid_each(path, identifier, names::c_identifier(identifier));
}

/// Checks a taint.
pub(super) fn check_taint(taint: &Node, path: &Path<'_>, errors: &mut Errors) {
    let (key, value) = (taint.str_at("key"), taint.str_at("value"));
    if key.is_empty() {
        errors.required(&path.field("key"), "name part must be non-empty");
    } else {
        errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
    }
    errors.invalid_each(&path.field("value"), value, names::label_value(value));
    check_choice(taint.str_at("effect"), &EFFECTS, &path.field("effect"), errors);
}

/// Checks a toleration of taints.
pub(super) fn check_toleration(toleration: &Node, path: &Path<'_>, errors: &mut Errors) {
    let field = |name: &str| toleration.str_at(name);
    let (key, value, effect) = (field("key"), field("value"), field("effect"));
    if !key.is_empty() {
        errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
    }
    match field("operator") {
        "Exists" if !value.is_empty() => {
            errors.invalid(&path.field("value"), value, "must be empty for operator `Exists`");
        }
        "Equal" => {
            if key.is_empty() {
                errors.required(&path.field("key"), "required for operator `Equal`");
            }
            errors.invalid_each(&path.field("value"), value, names::label_value(value));
        }
        "Exists" => {}
        other => check_choice(other, &["Equal", "Exists"], &path.field("operator"), errors),
    }
    if !effect.is_empty() && !EFFECTS[..2].contains(&effect) {
        errors.not_supported(&path.field("effect"), effect, &EFFECTS[..2]);
    }
}

/// Checks a device of a slice.
pub(super) fn check(device: &Node, path: &Path<'_>, errors: &mut Errors) {
    let name = device.str_at("name");
    errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
    let map = |field: &str| device.get(field).and_then(Node::as_map);
    let count = map("attributes").map_or(0, Map::len) + map("capacity").map_or(0, Map::len);
    if count > ATTRIBUTES_MAX {
        let detail = format!("the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}");
        errors.invalid(path, count, detail);
    }
    for (key, attribute) in map("attributes").into_iter().flat_map(Map::iter) {
        let path = path.field("attributes");
        let path = path.key(key);
        check_qualified_name(key, false, &path, errors);
        check_attribute(attribute, &path, errors);
    }
    let shared = device.get("allowMultipleAllocations").and_then(Node::as_bool) == Some(true);
    for (key, capacity) in map("capacity").into_iter().flat_map(Map::iter) {
        let path = path.field("capacity");
        let path = path.key(key);
        check_qualified_name(key, false, &path, errors);
        if capacity.get("requestPolicy").is_some() && !shared {
            errors.forbidden(&path.field("requestPolicy"), "allowMultipleAllocations must be true");
        }
    }
    let taints = device.items_at("taints");
    if taints.len() > TAINTS_MAX {
        errors.too_many(&path.field("taints"), taints.len(), TAINTS_MAX);
    }
    for (index, taint) in taints.iter().take(TAINTS_MAX).enumerate() {
        check_taint(taint, &path.field("taints").index(index), errors);
    }
}

fn check_attribute(attribute: &Node, path: &Path<'_>, errors: &mut Errors) {
    let given = attribute.as_struct().map_or(0, |attribute| attribute.iter().count());
    if given != 1 {
        errors.invalid(path, crate::meta::shown(Some(attribute)), "exactly one value must be specified");
    }
    for field in ["string", "version"] {
        let text = attribute.str_at(field);
        if text.len() > VALUE_MAX {
            errors.too_long(&path.field(field), VALUE_MAX);
        }
        if field == "version" && attribute.get(field).is_some() && !names::is_semantic_version(text) {
            errors.invalid(&path.field(field), text, "must be a string compatible with semver.org spec 2.0.0");
        }
    }
}
