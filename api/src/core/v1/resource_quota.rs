//! `ResourceQuota`: how much a namespace may use in all.

use jiff::Timestamp;

use super::resource_name::{check_amount, check_for_quota, entries, is_standard_for_quota};
use crate::kind::{Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const UNSUPPORTED: &str = "unsupported scope";
const UNSUPPORTED_FOR_RESOURCE: &str = "unsupported scope applied to resource";
/// Scopes of which one excludes the other.
const CONTRARY: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "resourcequotas",
    singular: "resourcequota",
    kind: "ResourceQuota",
    short_names: &["quota"],
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "ResourceQuota",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::CORE_V1_RESOURCE_QUOTA,
    returns_deleted: true,
    columns: &[
        name_column(),
        age_column(),
        column("Request", "What is used of what may be asked for or counted."),
        column("Limit", "What is used of what may be promised at most."),
    ],
    row,
    check,
    check_update,
    check_status_update,
    ..Kind::BASE
};

fn row(quota: &Object, now: Timestamp) -> Row {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in entries(quota.at("status.hard")) {
        let used = quota.at("status.used").and_then(|used| used.get(name)).and_then(Node::as_str).unwrap_or("0");
        let text = format!("{name}: {used}/{}", hard.as_str().unwrap_or("0"));
        if name.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    Row::of([quota.name().into(), Row::age(quota, now), requests.join(", ").into(), limits.join(", ").into()])
}

/// What a scope can select.
enum Selects {
    Pods,
    PodsAlone,
    Claims,
}

fn selects(scope: &str) -> Option<Selects> {
    Some(match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            Selects::Pods
        }
        "BestEffort" => Selects::PodsAlone,
        "VolumeAttributesClass" => Selects::Claims,
        _ => return None,
    })
}

fn scope_fits(scope: &str, resource: &str) -> bool {
    const POD_RESOURCES: [&str; 6] =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match selects(scope) {
        Some(Selects::Pods) => resource == "pods" || POD_RESOURCES.contains(&resource),
        Some(Selects::PodsAlone) => resource == "pods",
        Some(Selects::Claims) => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        None => true,
    }
}

fn check(quota: &Object, errors: &mut Errors) {
    let spec = Path::Root.field("spec");
    check_list(quota, "spec.hard", &spec.field("hard"), errors);
    let hard = || entries(quota.at("spec.hard")).map(|(name, _)| name).filter(|name| is_standard_for_quota(name));
    let path = spec.field("scopes");
    let scopes: Vec<&str> = quota.body.items_at("spec.scopes").iter().filter_map(Node::as_str).collect();
    let all = || shown(quota.at("spec.scopes"));
    for scope in &scopes {
        if selects(scope).is_none() {
            errors.invalid(&path, all(), UNSUPPORTED);
        }
        hard().filter(|resource| !scope_fits(scope, resource)).for_each(|_| {
            errors.invalid(&path, all(), UNSUPPORTED_FOR_RESOURCE);
        });
    }
    if CONTRARY.iter().any(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        errors.invalid(&path, all(), "conflicting scopes");
    }
    let selector = spec.field("scopeSelector");
    check_selector(quota, &selector.field("matchExpressions"), &hard().collect::<Vec<_>>(), errors);
}

fn check_list(quota: &Object, list: &str, path: &Path<'_>, errors: &mut Errors) {
    for (name, amount) in entries(quota.at(list)) {
        let path = path.key(name);
        check_for_quota(name, &path, errors);
        check_amount(name, amount, &path, errors);
    }
}

fn check_selector(quota: &Object, path: &Path<'_>, hard: &[&str], errors: &mut Errors) {
    let requirements = quota.body.items_at("spec.scopeSelector.matchExpressions");
    let selector = || shown(quota.at("spec.scopeSelector"));
    let mut scopes: Vec<&str> = Vec::new();
    for requirement in requirements {
        let (scope, operator) = (requirement.str_at("scopeName"), requirement.str_at("operator"));
        let values = requirement.items_at("values");
        if selects(scope).is_none() {
            errors.invalid(&path.field("scopeName"), scope, UNSUPPORTED);
        }
        for _ in hard.iter().filter(|resource| !scope_fits(scope, resource)) {
            errors.invalid(path, selector(), UNSUPPORTED_FOR_RESOURCE);
        }
        let without_values = !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && selects(scope).is_some();
        if without_values && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(&path.field("operator"), operator, detail);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&path.field("values"), detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&path.field("values"), shown(requirement.get("values")), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.invalid(&path.field("operator"), operator, "not a valid selector operator"),
        }
        scopes.push(scope);
    }
    if CONTRARY.iter().any(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        errors.invalid(path, selector(), "conflicting scopes");
    }
}

/// The scopes never change.
fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let scopes = |quota: &Object| {
        let mut scopes: Vec<String> =
            quota.body.items_at("spec.scopes").iter().filter_map(Node::as_str).map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    };
    if scopes(new) != scopes(old) {
        let path = Path::Root.field("spec");
        errors.invalid(&path.field("scopes"), shown(new.at("spec.scopes")), "field is immutable");
    }
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    check_list(new, "status.hard", &path.field("hard"), errors);
    check_list(new, "status.used", &path.field("used"), errors);
}
