//! What both kinds of webhooks have in common.

use jiff::Timestamp;

use super::{client_config, match_resources};
use crate::kind::{Generation, Kind, Scope};
use crate::meta::shown;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::table::{Row, age_column, integer, name_column};
use crate::validation::{Errors, Path};

const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
/// Versions of AdmissionReview that are spoken.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// What configurations of webhooks have in common.
pub(super) const BASE: Kind = Kind {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    columns: &[name_column(), integer("Webhooks", "How many webhooks there are."), age_column()],
    row,
    generation: Generation::Body,
    unconditional_update: false,
    defaults,
    check,
    ..Kind::BASE
};

fn webhooks(configuration: &Object) -> &[Node] {
    configuration.body.items_at("webhooks")
}

fn row(configuration: &Object, now: Timestamp) -> Row {
    let count = i64::try_from(webhooks(configuration).len()).unwrap_or(i64::MAX);
    Row::of([configuration.name().into(), count.into(), Row::age(configuration, now)])
}

/// Sets what every webhook leaves out.
pub(super) fn defaults(configuration: &mut Struct) {
    for webhook in configuration.get_mut("webhooks").and_then(Node::as_list_mut).into_iter().flatten() {
        let Some(webhook) = webhook.as_struct_mut() else { continue };
        webhook.set_default("failurePolicy", "Fail");
        webhook.set_default("timeoutSeconds", 10_i64);
        match_resources::default_selection(webhook);
        match_resources::default_rules(webhook.get_mut("rules"));
        if let Some(service) = webhook.get_mut("clientConfig").and_then(|config| config.get_mut("service"))
            && service.get("port").is_none()
        {
            service.set("port", 443_i64);
        }
    }
}

/// Checks every webhook.
pub(super) fn check(configuration: &Object, errors: &mut Errors) {
    let path = Path::Root.field("webhooks");
    let all = webhooks(configuration);
    for (index, webhook) in all.iter().enumerate() {
        let path = path.index(index);
        check_one(webhook, &path, errors);
        let name = webhook.str_at("name");
        if !name.is_empty() && all[..index].iter().any(|before| before.str_at("name") == name) {
            errors.duplicate(&path.field("name"), name);
        }
    }
}

fn check_one(webhook: &Node, path: &Path<'_>, errors: &mut Errors) {
    names::check_fully_qualified_name(webhook.str_at("name"), &path.field("name"), errors);
    for (index, rule) in webhook.items_at("rules").iter().enumerate() {
        match_resources::check_rule(rule, &path.field("rules").index(index), errors);
    }
    for (field, choices) in [
        ("failurePolicy", &["Fail", "Ignore"]),
        ("matchPolicy", &["Equivalent", "Exact"]),
        ("reinvocationPolicy", &["IfNeeded", "Never"]),
    ] {
        match_resources::check_optional_choice(webhook.get(field), choices, &path.field(field), errors);
    }
    match webhook.get("sideEffects").and_then(Node::as_str) {
        None => errors.required(&path.field("sideEffects"), format!("must specify one of {}", SIDE_EFFECTS.join(", "))),
        Some(given) if !SIDE_EFFECTS.contains(&given) => {
            errors.not_supported(&path.field("sideEffects"), given, &SIDE_EFFECTS);
        }
        Some(_) => {}
    }
    if let Some(seconds) = webhook.i64_at("timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.invalid(&path.field("timeoutSeconds"), seconds, detail);
    }
    match_resources::check_selectors(webhook, path, errors);
    client_config::check(webhook.get("clientConfig"), &path.field("clientConfig"), errors);
    match_resources::check_conditions(webhook.items_at("matchConditions"), &path.field("matchConditions"), errors);
    check_reviews(webhook, &path.field("admissionReviewVersions"), errors);
}

fn check_reviews(webhook: &Node, path: &Path<'_>, errors: &mut Errors) {
    let versions: Vec<&str> = webhook.items_at("admissionReviewVersions").iter().filter_map(Node::as_str).collect();
    if versions.is_empty() {
        errors.required(path, format!("must specify one of {}", REVIEWS.join(", ")));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.invalid(&path.index(index), *version, "duplicate version");
            continue;
        }
        errors.invalid_each(&path.index(index), version, names::dns1035_label(version));
    }
    if !versions.iter().any(|version| REVIEWS.contains(version)) {
        let value = shown(webhook.get("admissionReviewVersions"));
        errors.invalid(path, value, format!("must include at least one of {}", REVIEWS.join(", ")));
    }
}
