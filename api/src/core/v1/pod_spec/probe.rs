//! Rules for probes and for what runs after a container's start and before its end.

use super::{check_choice, check_not_negative, container};
use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// Checks a probe; `name` is its field.
pub(super) fn check(probe: &Struct, name: &str, path: &Path<'_>, errors: &mut Errors) {
    check_handler(probe, path, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        check_not_negative(probe.i64_at(field), &path.field(field), errors);
    }
    let threshold = probe.i64_at("successThreshold").unwrap_or(1);
    if name != "readinessProbe" && threshold != 1 {
        errors.invalid(&path.field("successThreshold"), threshold, "must be 1");
    }
    if let Some(seconds) = probe.i64_at("terminationGracePeriodSeconds") {
        if name == "readinessProbe" {
            errors.invalid(
                &path.field("terminationGracePeriodSeconds"),
                seconds,
                "must not be set for readinessProbes",
            );
        } else if seconds <= 0 {
            errors.invalid(&path.field("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
        }
    }
}

/// Checks the hooks of a container.
pub(super) fn check_lifecycle(lifecycle: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for field in ["postStart", "preStop"] {
        if let Some(handler) = lifecycle.get(field).and_then(Node::as_struct) {
            check_handler(handler, &path.field(field), errors);
        }
    }
}

/// Exactly one handler must be given.
fn check_handler(holder: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let mut given = false;
    for name in HANDLERS {
        let Some(handler) = holder.get(name) else { continue };
        let path = path.field(name);
        if given {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        given = true;
        match name {
            "exec" if handler.items_at("command").is_empty() => errors.required(&path.field("command"), ""),
            "httpGet" => check_http(handler, &path, errors),
            "tcpSocket" => check_target(handler, &path, errors),
            "grpc" => {
                container::check_port(handler.i64_at("port").unwrap_or(0), &path.field("port"), errors);
            }
            "sleep" => check_not_negative(handler.i64_at("seconds"), &path.field("seconds"), errors),
            _ => {}
        }
    }
    if !given {
        errors.required(path, "must specify a handler type");
    }
}

fn check_http(handler: &Node, path: &Path<'_>, errors: &mut Errors) {
    if handler.str_at("path").is_empty() {
        errors.required(&path.field("path"), "");
    }
    check_target(handler, path, errors);
    check_choice(handler.str_at("scheme"), &["HTTP", "HTTPS"], &path.field("scheme"), errors);
    for (index, header) in handler.items_at("httpHeaders").iter().enumerate() {
        let name = header.str_at("name");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(allowed) {
            let headers = path.field("httpHeaders");
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            errors.invalid(&headers.index(index).field("name"), name, detail);
        }
    }
}

/// A port is a number or the name of one of the container's ports.
fn check_target(handler: &Node, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("port");
    match handler.get("port") {
        Some(Node::Str(name)) => errors.invalid_each(&path, name, names::port_name(name)),
        port => container::check_port(port.and_then(Node::as_i64).unwrap_or(0), &path, errors),
    }
}
