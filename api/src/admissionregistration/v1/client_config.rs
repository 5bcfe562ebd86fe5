//! Where a webhook is: at a URL, or behind a Service.

use crate::names;
use crate::node::Node;
use crate::validation::{Errors, Path};

const FORM: &str = "; desired format: https://host[/path]";

/// Checks that a webhook can be reached in exactly one way.
pub(super) fn check(config: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let field = |name: &str| config.and_then(|config| config.get(name));
    match (field("url").and_then(Node::as_str), field("service")) {
        (Some(url), None) => check_url(url, &path.field("url"), errors),
        (None, Some(service)) => check_service(service, &path.field("service"), errors),
        _ => errors.required(path, "exactly one of url or service is required"),
    }
}

fn check_url(url: &str, path: &Path<'_>, errors: &mut Errors) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() || scheme.is_empty() {
        errors.invalid(path, "", format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

fn check_service(service: &Node, path: &Path<'_>, errors: &mut Errors) {
    for (field, detail) in [("name", "service name is required"), ("namespace", "service namespace is required")] {
        if service.str_at(field).is_empty() {
            errors.required(&path.field(field), detail);
        }
    }
    let port = service.i64_at("port").unwrap_or(0);
    let problems = names::port_number(port);
    if !problems.is_empty() {
        errors.invalid(&path.field("port"), port, format!("port is not valid: {}", problems.join(",")));
    }
    let text = service.str_at("path");
    let path = path.field("path");
    match text {
        "" | "/" => return,
        "//" => return errors.invalid(&path, text, "segment[0] may not be empty"),
        _ => {}
    }
    let segments = text.strip_prefix('/').unwrap_or_else(|| {
        errors.invalid(&path, text, "must start with a '/'");
        text
    });
    for (index, segment) in segments.strip_suffix('/').unwrap_or(segments).split('/').enumerate() {
        if segment.is_empty() {
            errors.invalid(&path, text, format!("segment[{index}] may not be empty"));
            continue;
        }
        for problem in names::dns1123_subdomain(segment) {
            errors.invalid(&path, text, format!("segment[{index}]: {problem}"));
        }
    }
}
