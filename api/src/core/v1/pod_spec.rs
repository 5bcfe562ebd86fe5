//! `PodSpec`: defaults and rules, for pods and for templates of pods.

use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

mod container;
mod defaults;
mod environment;
mod probe;
mod resources;
mod scheduling;
mod volume;

pub(crate) use defaults::defaults;
pub(crate) use resources::check_name as check_container_resource_name;
pub(crate) use resources::check_quantities;
pub(crate) use scheduling::check_node_selector;
pub(crate) use scheduling::check_tolerations;
pub(crate) use volume::check_named_source as check_volume_source;

/// The largest number of seconds a pod may be active.
const DEADLINE_MAX: i64 = i32::MAX as i64;

/// Checks an integer that may not be negative.
pub(crate) fn check_not_negative(value: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| *value < 0) {
        errors.invalid(path, value, "must be greater than or equal to 0");
    }
}

/// Checks a text that must be one of a few; empty is missing.
pub(crate) fn check_choice(value: &str, choices: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else if !choices.contains(&value) {
        errors.not_supported(path, value, choices);
    }
}

/// Everything wrong with a pod's specification.
pub(crate) fn check(spec: &Struct, metadata: Option<&Struct>, path: &Path<'_>, errors: &mut Errors) {
    let volumes = volume::check_all(spec.items_at("volumes"), &path.field("volumes"), errors);
    container::check_all(spec, &volumes, path, errors);
    check_choice(spec.str_at("restartPolicy"), &["Always", "OnFailure", "Never"], &path.field("restartPolicy"), errors);
    check_dns(spec, path, errors);
    scheduling::check(spec, metadata, path, errors);
    check_security_context(spec, &path.field("securityContext"), errors);
    for (index, secret) in spec.items_at("imagePullSecrets").iter().enumerate() {
        if secret.str_at("name").is_empty() {
            errors.required(&path.field("imagePullSecrets").index(index).field("name"), "");
        }
    }
    check_names(spec, path, errors);
    if let Some(seconds) = spec.i64_at("activeDeadlineSeconds")
        && !(1..=DEADLINE_MAX).contains(&seconds)
    {
        let detail = format!("must be between 1 and {DEADLINE_MAX}, inclusive");
        errors.invalid(&path.field("activeDeadlineSeconds"), seconds, detail);
    }
    for (index, alias) in spec.items_at("hostAliases").iter().enumerate() {
        let path = path.field("hostAliases");
        let path = path.index(index);
        errors.invalid_each(&path.field("ip"), alias.str_at("ip"), names::ip(alias.str_at("ip")));
        for (index, name) in alias.items_at("hostnames").iter().filter_map(Node::as_str).enumerate() {
            errors.invalid_each(&path.field("hostnames").index(index), name, names::dns1123_subdomain(name));
        }
    }
}

fn check_names(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    type Rule = fn(&str) -> Vec<String>;
    let rules: [(&str, Rule); 6] = [
        ("serviceAccountName", names::dns1123_subdomain),
        ("nodeName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
    ];
    for (field, rule) in rules {
        let value = spec.str_at(field);
        if !value.is_empty() {
            errors.invalid_each(&path.field(field), value, rule(value));
        }
    }
}

fn check_dns(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let policy = spec.str_at("dnsPolicy");
    check_choice(
        policy,
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        &path.field("dnsPolicy"),
        errors,
    );
    let path = path.field("dnsConfig");
    let servers = spec.items_at("dnsConfig.nameservers");
    if policy == "None" && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.required(&path.field("nameservers"), detail);
    }
    if servers.len() > 3 {
        errors.too_many(&path.field("nameservers"), servers.len(), 3);
    }
    for (index, server) in servers.iter().filter_map(Node::as_str).enumerate() {
        errors.invalid_each(&path.field("nameservers").index(index), server, names::ip(server));
    }
    let searches = spec.items_at("dnsConfig.searches");
    if searches.len() > 32 {
        errors.too_many(&path.field("searches"), searches.len(), 32);
    }
    for (index, option) in spec.items_at("dnsConfig.options").iter().enumerate() {
        if option.str_at("name").is_empty() {
            errors.required(&path.field("options").index(index), "must not be empty");
        }
    }
}

fn check_security_context(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        check_id(spec.i64_at(&format!("securityContext.{field}")), &path.field(field), errors);
    }
    for (index, group) in spec.items_at("securityContext.supplementalGroups").iter().enumerate() {
        check_id(group.as_i64(), &path.field("supplementalGroups").index(index), errors);
    }
    for (index, sysctl) in spec.items_at("securityContext.sysctls").iter().enumerate() {
        if sysctl.str_at("name").is_empty() {
            errors.required(&path.field("sysctls").index(index).field("name"), "");
        }
    }
}

/// A user or group id fits a signed 32-bit number.
fn check_id(id: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(id) = id.filter(|id| !(0..=DEADLINE_MAX).contains(id)) {
        errors.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
}
