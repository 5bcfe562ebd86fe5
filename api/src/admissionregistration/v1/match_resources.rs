//! Which requests are meant: operations, groups, versions, resources, and selectors.

use crate::meta::shown;
use crate::names;
use crate::node::{Node, Struct};
use crate::selector;
use crate::validation::{Errors, Path};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const CONDITIONS_MAX: usize = 64;

/// Sets what rules leave out.
pub(super) fn default_rules(rules: Option<&mut Node>) {
    for rule in rules.and_then(Node::as_list_mut).into_iter().flatten() {
        if rule.get("scope").is_none() {
            rule.set("scope", "*");
        }
    }
}

/// Sets what selectors and the policy of matching leave out, for whoever has these fields.
pub(super) fn default_selection(target: &mut Struct) {
    target.set_default("matchPolicy", "Equivalent");
    for field in ["namespaceSelector", "objectSelector"] {
        target.entry(field);
    }
}

/// Sets what a `MatchResources` leaves out.
pub(super) fn defaults(resources: Option<&mut Node>) {
    let Some(resources) = resources.and_then(Node::as_struct_mut) else { return };
    default_selection(resources);
    for field in ["resourceRules", "excludeResourceRules"] {
        default_rules(resources.get_mut(field));
    }
}

/// Checks a `MatchResources`.
pub(super) fn check(resources: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_optional_choice(resources.get("matchPolicy"), &["Equivalent", "Exact"], &path.field("matchPolicy"), errors);
    check_selectors(resources, path, errors);
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in resources.items_at(field).iter().enumerate() {
            let path = path.field(field);
            let path = path.index(index);
            let resource_names = rule.items_at("resourceNames");
            for (index, name) in resource_names.iter().filter_map(Node::as_str).enumerate() {
                let path = path.field("resourceNames");
                errors.invalid_each(&path.index(index), name, names::path_segment(name));
                if resource_names[..index].iter().any(|before| before.as_str() == Some(name)) {
                    errors.duplicate(&path.index(index), name);
                }
            }
            check_rule(rule, &path, errors);
        }
    }
}

/// Checks the two selectors of a webhook or a policy.
pub(super) fn check_selectors(target: &Node, path: &Path<'_>, errors: &mut Errors) {
    for field in ["namespaceSelector", "objectSelector"] {
        selector::check_object(target.get(field), &path.field(field), errors);
    }
}

/// Checks a text that may be absent, but not be something else.
pub(super) fn check_optional_choice(value: Option<&Node>, choices: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.and_then(Node::as_str).filter(|value| !choices.contains(value)) {
        errors.not_supported(path, value, choices);
    }
}

fn has_wildcard(items: &[Node]) -> bool {
    items.iter().any(|item| item.as_str() == Some("*"))
}

/// Checks operations, groups, versions, resources and scope.
pub(super) fn check_rule(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    for (field, others) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        let (items, path) = (rule.items_at(field), path.field(field));
        if items.is_empty() {
            errors.required(&path, "");
        } else if items.len() > 1 && has_wildcard(items) {
            let detail = format!("if '*' is present, must not specify other {others}");
            errors.invalid(&path, shown(rule.get(field)), detail);
        }
        for (index, item) in items.iter().filter_map(Node::as_str).enumerate() {
            match field {
                "operations" if !OPERATIONS.contains(&item) => {
                    errors.not_supported(&path.index(index), item, &OPERATIONS);
                }
                "apiVersions" if item.is_empty() => errors.required(&path.index(index), ""),
                _ => {}
            }
        }
    }
    check_resources(rule, &path.field("resources"), errors);
    check_optional_choice(rule.get("scope"), &SCOPES, &path.field("scope"), errors);
}

fn check_resources(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    let all: Vec<&str> = rule.items_at("resources").iter().filter_map(Node::as_str).collect();
    if all.is_empty() {
        errors.required(path, "");
    }
    for (index, item) in all.iter().enumerate() {
        let path = path.index(index);
        let Some((resource, part)) = item.split_once('/') else {
            if item.is_empty() {
                errors.required(&path, "");
            }
            continue;
        };
        for covering in [format!("{resource}/*"), format!("*/{part}")] {
            if all[..index].contains(&covering.as_str()) {
                errors.invalid(&path, *item, format!("if '{covering}' is present, must not specify {item}"));
            }
        }
    }
    let list = || shown(rule.get("resources"));
    if all.len() > 1 && all.contains(&"*/*") {
        errors.invalid(path, list(), "if '*/*' is present, must not specify other resources");
    }
    if all.contains(&"*") && all.iter().any(|item| *item != "*" && !item.contains('/')) {
        errors.invalid(path, list(), "if '*' is present, must not specify other resources without subresources");
    }
}

/// Checks `matchConditions`: each has a name of its own and an expression.
pub(super) fn check_conditions(conditions: &[Node], path: &Path<'_>, errors: &mut Errors) {
    if conditions.len() > CONDITIONS_MAX {
        errors.too_many(path, conditions.len(), CONDITIONS_MAX);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let name = condition.str_at("name");
        if condition.str_at("expression").trim().is_empty() {
            errors.required(&path.field("expression"), "");
        }
        if name.is_empty() {
            errors.required(&path.field("name"), "");
            continue;
        }
        errors.invalid_each(&path.field("name"), name, names::qualified_name(name));
        if conditions[..index].iter().any(|before| before.str_at("name") == name) {
            errors.duplicate(&path.field("name"), name);
        }
    }
}
