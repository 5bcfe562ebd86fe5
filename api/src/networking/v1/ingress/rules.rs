//! Rules for hosts, paths and what is behind them.

use std::net::IpAddr;

use crate::names;
use crate::networking::v1::ingress_class::check_reference;
use crate::node::Node;
use crate::validation::{Errors, Path};

/// Sequences by which a path could mean another one.
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];

pub(super) fn check_no_address(host: &str, path: &Path<'_>, errors: &mut Errors) {
    if host.parse::<IpAddr>().is_ok() {
        errors.invalid(path, host, "must be a DNS name, not an IP address");
    }
}

fn check_host(host: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems =
        if host.contains('*') { names::wildcard_dns1123_subdomain(host) } else { names::dns1123_subdomain(host) };
    errors.invalid_each(path, host, problems);
}

pub(super) fn check_tls(entries: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, entry) in entries.iter().enumerate() {
        let path = path.index(index);
        for (index, host) in entry.items_at("hosts").iter().filter_map(Node::as_str).enumerate() {
            check_host(host, &path.field("hosts").index(index), errors);
        }
        let secret = entry.str_at("secretName");
        if !secret.is_empty() {
            errors.invalid_each(&path.field("secretName"), secret, names::dns1123_subdomain(secret));
        }
    }
}

pub(super) fn check_rules(rules: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let host = rule.str_at("host");
        if !host.is_empty() {
            check_no_address(host, &path.field("host"), errors);
            check_host(host, &path.field("host"), errors);
        }
        let Some(http) = rule.get("http") else { continue };
        let path = path.field("http");
        let path = path.field("paths");
        let paths = http.items_at("paths");
        if paths.is_empty() {
            errors.required(&path, "");
        }
        for (index, entry) in paths.iter().enumerate() {
            check_path(entry, &path.index(index), errors);
        }
    }
}

fn check_path(entry: &Node, path: &Path<'_>, errors: &mut Errors) {
    let text = entry.str_at("path");
    let text_path = path.field("path");
    match entry.get("pathType").and_then(Node::as_str) {
        None => return errors.required(&path.field("pathType"), "pathType must be specified"),
        Some("Exact" | "Prefix") => {
            if !text.starts_with('/') {
                errors.invalid(&text_path, text, "must be an absolute path");
            }
            for bad in BAD_SEQUENCES.iter().filter(|bad| text.contains(**bad)) {
                errors.invalid(&text_path, text, format!("must not contain '{bad}'"));
            }
            for bad in BAD_ENDS.iter().filter(|bad| text.ends_with(**bad)) {
                errors.invalid(&text_path, text, format!("cannot end with '{bad}'"));
            }
        }
        Some("ImplementationSpecific") => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.invalid(&text_path, text, "must be an absolute path");
            }
        }
        Some(other) => {
            errors.not_supported(&path.field("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]);
        }
    }
    match entry.get("backend") {
        Some(backend) => check_backend(backend, &path.field("backend"), errors),
        None => errors.invalid(&path.field("backend"), "", "resource or service backend is required"),
    }
}

pub(super) fn check_backend(backend: &Node, path: &Path<'_>, errors: &mut Errors) {
    match (backend.get("resource"), backend.get("service")) {
        (Some(_), Some(_)) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (Some(resource), None) => check_reference(resource, &path.field("resource"), errors),
        (None, Some(service)) => check_service(service, path, errors),
        (None, None) => errors.invalid(path, "", "resource or service backend is required"),
    }
}

fn check_service(service: &Node, backend: &Path<'_>, errors: &mut Errors) {
    let path = backend.field("service");
    let name = service.str_at("name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
    }
    let path = path.field("port");
    match (service.str_at("port.name"), service.i64_at("port.number").unwrap_or(0)) {
        ("", 0) => errors.required(backend, "port name or number is required"),
        ("", number) => {
            for problem in names::port_number(number) {
                errors.invalid(&path.field("number"), number, problem);
            }
        }
        (name, 0) => errors.invalid_each(&path.field("name"), name, names::port_name(name)),
        _ => errors.invalid(backend, "", "cannot set both port name & port number"),
    }
}
