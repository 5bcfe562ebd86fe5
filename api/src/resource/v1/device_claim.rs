//! `DeviceClaim`: the devices that a claim asks for, in the claim itself and in templates of claims.

use super::{configuration, device};
use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

const REQUESTS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;

/// Sets what requests leave out.
pub(super) fn defaults(spec: &mut Struct) {
    let Some(requests) = spec.get_mut("devices").and_then(|devices| devices.get_mut("requests")) else { return };
    for request in requests.as_list_mut().into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly").and_then(Node::as_struct_mut) {
            default_request(exactly);
        }
        let alternatives = request.get_mut("firstAvailable").and_then(Node::as_list_mut);
        alternatives.into_iter().flatten().filter_map(Node::as_struct_mut).for_each(default_request);
    }
}

/// Sets what one request, or an alternative of one, leaves out.
pub(in crate::resource) fn default_request(request: &mut Struct) {
    if request.str_at("allocationMode").is_empty() {
        request.set("allocationMode", "ExactCount");
    }
    if request.str_at("allocationMode") == "ExactCount" && request.i64_at("count").unwrap_or(0) == 0 {
        request.set("count", 1_i64);
    }
    for toleration in request.get_mut("tolerations").and_then(Node::as_list_mut).into_iter().flatten() {
        if toleration.str_at("operator").is_empty() {
            toleration.set("operator", "Equal");
        }
    }
}

/// Checks a claim's specification.
pub(super) fn check(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("devices");
    let requests = spec.items_at("devices.requests");
    check_set(requests, REQUESTS_MAX, &path.field("requests"), errors, check_request);
    let constraints = spec.items_at("devices.constraints");
    let list = path.field("constraints");
    if constraints.len() > CONSTRAINTS_MAX {
        errors.too_many(&list, constraints.len(), CONSTRAINTS_MAX);
    }
    for (index, constraint) in constraints.iter().take(CONSTRAINTS_MAX).enumerate() {
        let path = list.index(index);
        check_references(constraint, requests, &path, errors);
        let attributes = ["matchAttribute", "distinctAttribute"];
        match attributes.iter().find(|field| constraint.get(field).is_some()) {
            Some(field) => device::check_qualified_name(constraint.str_at(field), true, &path.field(field), errors),
            None => {
                let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
                errors.required(&path, detail);
            }
        }
    }
    let configurations = spec.items_at("devices.config");
    configuration::check_all(configurations, &path.field("config"), errors, |configuration, path, errors| {
        check_references(configuration, requests, path, errors);
    });
}

/// Checks a list of things with names of their own.
fn check_set(
    items: &[Node],
    max: usize,
    path: &Path<'_>,
    errors: &mut Errors,
    check: fn(&Node, &Path<'_>, &mut Errors),
) {
    if items.len() > max {
        errors.too_many(path, items.len(), max);
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let name = item.str_at("name");
        if items[..index].iter().any(|before| before.str_at("name") == name) {
            errors.duplicate(&path, name);
        }
        errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
        check(item, &path, errors);
    }
}

fn check_request(request: &Node, path: &Path<'_>, errors: &mut Errors) {
    let alternatives = request.items_at("firstAvailable");
    match (request.get("exactly"), alternatives.is_empty()) {
        (None, true) => errors.required(path, "exactly one of `exactly` or `firstAvailable` is required"),
        (Some(_), false) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.invalid(path, crate::validation::Value::text("null"), detail);
        }
        (Some(exactly), true) => check_devices(exactly, &path.field("exactly"), errors),
        (None, false) => {
            check_set(alternatives, ALTERNATIVES_MAX, &path.field("firstAvailable"), errors, check_devices);
        }
    }
}

fn check_devices(request: &Node, path: &Path<'_>, errors: &mut Errors) {
    let class = request.str_at("deviceClassName");
    if class.is_empty() {
        errors.required(&path.field("deviceClassName"), "");
    } else {
        errors.invalid_each(&path.field("deviceClassName"), class, names::dns1123_subdomain(class));
    }
    configuration::check_selectors(request.items_at("selectors"), &path.field("selectors"), errors);
    let count = request.i64_at("count").unwrap_or(0);
    match request.str_at("allocationMode") {
        "All" if count != 0 => {
            errors.invalid(&path.field("count"), count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => errors.invalid(&path.field("count"), count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        mode => errors.not_supported(&path.field("allocationMode"), mode, &["All", "ExactCount"]),
    }
    for (index, toleration) in request.items_at("tolerations").iter().enumerate() {
        device::check_toleration(toleration, &path.field("tolerations").index(index), errors);
    }
}

/// Checks that `requests` names requests of the claim, or alternatives of one: `gpu`, `gpu/large`.
fn check_references(holder: &Node, requests: &[Node], path: &Path<'_>, errors: &mut Errors) {
    let references = holder.items_at("requests");
    let path = path.field("requests");
    if references.len() > REQUESTS_MAX {
        errors.too_many(&path, references.len(), REQUESTS_MAX);
        return;
    }
    for (index, reference) in references.iter().filter_map(Node::as_str).enumerate() {
        let path = path.index(index);
        if references[..index].iter().any(|before| before.as_str() == Some(reference)) {
            errors.duplicate(&path, reference);
        }
        if !is_request(reference, requests) {
            let detail =
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            errors.invalid(&path, reference, detail);
        }
    }
}

/// Whether a reference names a request, or an alternative of one.
pub(super) fn is_request(reference: &str, requests: &[Node]) -> bool {
    let named = |items: &[Node], name: &str| items.iter().any(|item| item.str_at("name") == name);
    match reference.split_once('/') {
        None => named(requests, reference),
        Some((request, alternative)) => requests
            .iter()
            .any(|item| item.str_at("name") == request && named(item.items_at("firstAvailable"), alternative)),
    }
}
