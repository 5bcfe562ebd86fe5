//! Which requests a schema is for: who asks, and for what.

use crate::meta::shown;
use crate::names;
use crate::node::Node;
use crate::validation::{Errors, Path};

/// All verbs there are, sorted.
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// Each kind of subject with the field that names it.
const SUBJECTS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

pub(super) fn check(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    let subjects = rule.items_at("subjects");
    if subjects.is_empty() {
        errors.required(&path.field("subjects"), "subjects must contain at least one value");
    }
    for (index, subject) in subjects.iter().enumerate() {
        check_subject(subject, &path.field("subjects").index(index), errors);
    }
    let (resources, others) = (rule.items_at("resourceRules"), rule.items_at("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (index, rule) in resources.iter().enumerate() {
        check_resources(rule, &path.field("resourceRules").index(index), errors);
    }
    for (index, rule) in others.iter().enumerate() {
        check_paths(rule, &path.field("nonResourceRules").index(index), errors);
    }
}

fn check_subject(subject: &Node, path: &Path<'_>, errors: &mut Errors) {
    let kind = subject.str_at("kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        return errors.not_supported(&path.field("kind"), kind, &SUBJECTS.map(|(kind, _)| kind));
    };
    match subject.get(own) {
        Some(named) => check_named(named, own, &path.field(own), errors),
        None => errors.required(&path.field(own), format!("{own} is required when subject kind is '{kind}'")),
    }
    for field in ["serviceAccount", "user", "group"] {
        if field != *own && subject.get(field).is_some() {
            let needed = SUBJECTS.iter().find(|(_, known)| *known == field).map_or("", |(kind, _)| kind);
            let detail = format!("{field} is forbidden when subject kind is not '{needed}'");
            errors.forbidden(&path.field(field), detail);
        }
    }
}

fn check_named(named: &Node, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let (name, namespace) = (named.str_at("name"), named.str_at("namespace"));
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    }
    if kind != "serviceAccount" {
        return;
    }
    if !matches!(name, "" | "*") {
        errors.invalid_each(&path.field("name"), name, names::dns1123_subdomain(name));
    }
    if namespace.is_empty() {
        errors.required(&path.field("namespace"), "must specify namespace for service account");
    } else {
        errors.invalid_each(&path.field("namespace"), namespace, names::dns1123_label(namespace));
    }
}

/// Whether `*` stands in a list; if it does not stand alone, that is reported.
fn has_wildcard(rule: &Node, field: &str, others: &str, path: &Path<'_>, errors: &mut Errors) -> bool {
    let items = rule.items_at(field);
    let found = items.iter().any(|item| item.as_str() == Some("*"));
    if found && items.len() > 1 {
        let detail = format!("if '*' is present, must not specify other {others}");
        errors.invalid(&path.field(field), shown(rule.get(field)), detail);
    }
    found
}

fn check_verbs(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    let verbs = rule.items_at("verbs");
    if verbs.is_empty() {
        errors.required(&path.field("verbs"), "verbs must contain at least one value");
    } else if !has_wildcard(rule, "verbs", "verbs", path, errors)
        && !verbs.iter().filter_map(Node::as_str).all(|verb| VERBS.contains(&verb))
    {
        errors.not_supported(&path.field("verbs"), shown(rule.get("verbs")), &VERBS);
    }
}

fn check_resources(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_verbs(rule, path, errors);
    for (field, others, one) in [("apiGroups", "api groups", "api group"), ("resources", "resources", "resource")] {
        if rule.items_at(field).is_empty() {
            errors.required(&path.field(field), format!("resource rules must supply at least one {one}"));
        }
        has_wildcard(rule, field, others, path, errors);
    }
    let (namespaces, list) = (rule.items_at("namespaces"), path.field("namespaces"));
    if namespaces.is_empty() && rule.get("clusterScope").and_then(Node::as_bool) != Some(true) {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.required(&list, detail);
    } else if !has_wildcard(rule, "namespaces", "namespaces", path, errors) {
        for (index, namespace) in namespaces.iter().filter_map(Node::as_str).enumerate() {
            for problem in names::dns1123_label(namespace) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                errors.invalid(&list.index(index), namespace, detail);
            }
        }
    }
}

fn check_paths(rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_verbs(rule, path, errors);
    let (urls, list) = (rule.items_at("nonResourceURLs"), path.field("nonResourceURLs"));
    if urls.is_empty() {
        errors.required(&list, "nonResourceURLs must contain at least one value");
    } else if !has_wildcard(rule, "nonResourceURLs", "non-resource URLs", path, errors) {
        for (index, url) in urls.iter().filter_map(Node::as_str).enumerate() {
            if let Some(problem) = url_problem(url) {
                errors.invalid(&list.index(index), url, problem);
            }
        }
    }
}

fn url_problem(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !url.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
