//! What roles and bindings have in common: rules, subjects, references.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::table::{Cell, Column, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path, Value};

/// The group of these kinds, of roles and of users and groups as subjects.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// What is alike in all four kinds: names may contain colons.
pub(super) const BASE: Kind =
    Kind { group: GROUP, name_rule: names::path_segment, create_on_update: true, ..Kind::BASE };

/// Columns of roles.
pub(super) const ROLE_COLUMNS: &[Column] =
    &[name_column(), column("Created At", "When the server created the object, by the server's clock.")];

/// Columns of bindings.
pub(super) const BINDING_COLUMNS: &[Column] = &[
    name_column(),
    column("Role", "The role that is given."),
    age_column(),
    wide("Users", "Users who are given it."),
    wide("Groups", "Groups who are given it."),
    wide("ServiceAccounts", "Service accounts that are given it."),
];

pub(super) fn role_row(role: &Object, _: Timestamp) -> Row {
    Row::of([role.name().into(), role.str_at("metadata.creationTimestamp").into()])
}

pub(super) fn binding_row(binding: &Object, now: Timestamp) -> Row {
    let subjects = binding.body.items_at("subjects");
    let of_kind = |kind: &str| -> Cell {
        let named = |subject: &Node| match (kind, subject.str_at("namespace")) {
            ("ServiceAccount", namespace) => format!("{namespace}/{}", subject.str_at("name")),
            _ => subject.str_at("name").to_owned(),
        };
        let names: Vec<String> = subjects.iter().filter(|subject| subject.str_at("kind") == kind).map(named).collect();
        names.join(", ").into()
    };
    Row::of([
        binding.name().into(),
        Cell::Str(format!("{}/{}", binding.str_at("roleRef.kind"), binding.str_at("roleRef.name"))),
        Row::age(binding, now),
        of_kind("User"),
        of_kind("Group"),
        of_kind("ServiceAccount"),
    ])
}

/// Whether rules may name URLs: only roles for the whole cluster can.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Namespace,
    Cluster,
}

pub(super) fn check_rules(role: &Object, reach: Reach, errors: &mut Errors) {
    let path = Path::Root.field("rules");
    for (index, rule) in role.body.items_at("rules").iter().enumerate() {
        check_rule(rule, reach, &path.index(index), errors);
    }
}

fn check_rule(rule: &Node, reach: Reach, path: &Path<'_>, errors: &mut Errors) {
    let (groups, resources) = (rule.items_at("apiGroups"), rule.items_at("resources"));
    let urls = rule.items_at("nonResourceURLs");
    if rule.items_at("verbs").is_empty() {
        errors.required(&path.field("verbs"), "verbs must contain at least one value");
    }
    if !urls.is_empty() {
        if reach == Reach::Namespace {
            let shown = crate::meta::shown(rule.get("nonResourceURLs"));
            errors.invalid(&path.field("nonResourceURLs"), shown, "namespaced rules cannot apply to non-resource URLs");
        } else if !groups.is_empty() || !resources.is_empty() || !rule.items_at("resourceNames").is_empty() {
            let shown = crate::meta::shown(rule.get("nonResourceURLs"));
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(&path.field("nonResourceURLs"), shown, detail);
        }
        return;
    }
    if groups.is_empty() {
        errors.required(&path.field("apiGroups"), "resource rules must supply at least one api group");
    }
    if resources.is_empty() {
        errors.required(&path.field("resources"), "resource rules must supply at least one resource");
    }
}

/// Users and groups belong to the group of these kinds, service accounts to the core group.
pub(super) fn binding_defaults(binding: &mut Struct) {
    binding.set_default("roleRef.apiGroup", GROUP);
    for subject in
        binding.get_mut("subjects").and_then(Node::as_list_mut).into_iter().flatten().filter_map(Node::as_struct_mut)
    {
        if matches!(subject.str_at("kind"), "User" | "Group") {
            subject.set_default("apiGroup", GROUP);
        }
    }
}

pub(super) fn check_binding(binding: &Object, kinds: &[&str], errors: &mut Errors) {
    let root = Path::Root;
    let path = root.field("roleRef");
    let group = binding.str_at("roleRef.apiGroup");
    if group != GROUP {
        errors.not_supported(&path.field("apiGroup"), group, &[GROUP]);
    }
    let kind = binding.str_at("roleRef.kind");
    if !kinds.contains(&kind) {
        errors.not_supported(&path.field("kind"), kind, kinds);
    }
    let name = binding.str_at("roleRef.name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.invalid_each(&path.field("name"), name, names::path_segment(name));
    }
    for (index, subject) in binding.body.items_at("subjects").iter().enumerate() {
        check_subject(subject, binding.namespace().is_empty(), &root.field("subjects").index(index), errors);
    }
}

fn check_subject(subject: &Node, for_cluster: bool, path: &Path<'_>, errors: &mut Errors) {
    let (kind, name, group) = (subject.str_at("kind"), subject.str_at("name"), subject.str_at("apiGroup"));
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.invalid_each(&path.field("name"), name, names::dns1123_subdomain(name));
            }
            if !group.is_empty() {
                errors.not_supported(&path.field("apiGroup"), group, &[""]);
            }
            if subject.str_at("namespace").is_empty() && for_cluster {
                errors.required(&path.field("namespace"), "");
            }
        }
        "User" | "Group" if group != GROUP => errors.not_supported(&path.field("apiGroup"), group, &[GROUP]),
        "User" | "Group" => {}
        _ => errors.not_supported(&path.field("kind"), kind, &["Group", "ServiceAccount", "User"]),
    }
}

/// What a binding gives never changes; only to whom.
pub(super) fn check_binding_update(new: &Object, old: &Object, errors: &mut Errors) {
    if new.at("roleRef") != old.at("roleRef") {
        let shown: Value = crate::meta::shown(new.at("roleRef"));
        errors.invalid(&Path::Root.field("roleRef"), shown, "cannot change roleRef");
    }
}
