//! What a Job's specification may say.

use super::{CONTROLLER_UID, JOB_NAME, LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME, indexes};
use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::meta::shown;
use crate::names;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::{self, LabelSelector};
use crate::validation::{ErrorType, Errors, Path};

const MAX_PARALLELISM_INDEXED: i64 = 100_000;
const MAX_FAILED_INDEXES: i64 = 100_000;
/// From here on, and with a limit for each index, less is allowed of everything.
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_OF_MANY: i64 = 10_000;
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_CONDITIONS: usize = 20;
const MAX_MANAGER: usize = 63;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn job(job: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    check_generated(job, errors);
    let empty = Struct::new(&types::BATCH_V1_JOB_SPEC);
    let spec = job.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    check_spec(spec, &path, errors);
    match spec.get("selector") {
        None => errors.required(&path.field("selector"), ""),
        selector => selector::check_object(selector, &path.field("selector"), errors),
    }
    let selects = spec.get("selector").and_then(LabelSelector::from_object);
    let matches = |labels: &Map| selects.as_ref().is_some_and(|selects| selects.matches_labels(labels));
    pod_template::check_selected(spec, matches, &path.field("template"), errors);
    let completions = spec.i64_at("completions").unwrap_or(0);
    if spec.str_at("completionMode") == "Indexed" && completions > 0 {
        let last = format!("{}-{}", job.name(), completions - 1);
        if !names::dns1123_label(&last).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.invalid(&Path::Root.field("metadata").field("name"), job.name(), detail);
        }
    }
}

/// A generated selector, and the labels it goes by, are as they were generated.
fn check_generated(job: &Object, errors: &mut Errors) {
    let Some(selector) = job.at("spec.selector") else { return };
    if job.body.bool_at("spec.manualSelector") == Some(true) {
        return;
    }
    if job.uid().is_empty() {
        errors.required(&Path::Root.field("metadata").field("uid"), "");
    }
    let expected = [
        (LEGACY_CONTROLLER_UID, job.uid()),
        (LEGACY_JOB_NAME, job.name()),
        (CONTROLLER_UID, job.uid()),
        (JOB_NAME, job.name()),
    ];
    let spec = Path::Root.field("spec");
    let template = spec.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    for (key, value) in expected {
        let found = job.at("spec.template.metadata.labels").and_then(|labels| labels.get(key)).and_then(Node::as_str);
        let detail = format!("must be '{value}'");
        if found.is_none() {
            errors.required(&labels.key(key), detail.clone());
        }
        if found != Some(value) {
            errors.invalid(&labels.key(key), shown(job.at("spec.template.metadata.labels")), detail);
        }
    }
    let own: Map = expected.into_iter().collect();
    if LabelSelector::from_object(selector).is_some_and(|selector| !selector.matches_labels(&own)) {
        errors.invalid(&spec.field("selector"), shown(Some(selector)), "`selector` not auto-generated");
    }
}

/// Everything wrong with the specification of a Job, be it one or a template of one, but for its selector.
pub(in crate::batch::v1) fn check_spec(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check_not_negative(spec.i64_at(field), &path.field(field), errors);
    }
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errors.required(&path.field("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    check_manager(spec, &path.field("managedBy"), errors);
    check_mode(spec, path, errors);
    if spec.has("podFailurePolicy") {
        check_failure_policy(spec, &path.field("podFailurePolicy"), errors);
    }
    check_replacement(spec, &path.field("podReplacementPolicy"), errors);
    pod_template::check_template(spec.get("template"), &path.field("template"), errors);
    check_restart(spec, &path.field("template").field("spec").field("restartPolicy"), errors);
}

fn check_manager(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let Some(manager) = spec.get("managedBy").and_then(Node::as_str) else { return };
    match manager.split_once('/') {
        None | Some(("", _)) | Some((_, "")) => {
            errors.invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        }
        Some((domain, _)) => errors.invalid_each(path, manager, names::dns1123_subdomain(domain)),
    }
    if manager.len() > MAX_MANAGER {
        errors.too_long(path, MAX_MANAGER);
    }
}

fn check_mode(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let mode = spec.str_at("completionMode");
    match mode {
        "Indexed" => check_indexed(spec, path, errors),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = spec.i64_at(field) {
                    errors.invalid(&path.field(field), value, "requires indexed completion mode");
                }
            }
        }
        _ => errors.not_supported(&path.field("completionMode"), mode, &["NonIndexed", "Indexed"]),
    }
    let success = path.field("successPolicy");
    match (spec.get("successPolicy"), mode) {
        (None, _) => {}
        (Some(policy), "Indexed") => check_success_policy(spec, policy, &success.field("rules"), errors),
        (policy, _) => errors.invalid(&success, shown(policy), "requires indexed completion mode"),
    }
}

fn check_indexed(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let completions = spec.i64_at("completions");
    let (parallelism, failed) = (spec.i64_at("parallelism").unwrap_or(0), spec.i64_at("maxFailedIndexes"));
    let mut at_most = |field: &str, value: i64, max: i64, why: &str| {
        if value > max {
            errors.invalid(&path.field(field), value, format!("must be less than or equal to {max}{why}"));
        }
    };
    at_most("parallelism", parallelism, MAX_PARALLELISM_INDEXED, " when completion mode is Indexed");
    at_most("maxFailedIndexes", failed.unwrap_or(0), MAX_FAILED_INDEXES, "");
    let many = completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if many && spec.has("backoffLimitPerIndex") {
        let why = format!(" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index");
        at_most("parallelism", parallelism, MAX_OF_MANY, &why);
        at_most("maxFailedIndexes", failed.unwrap_or(0), MAX_OF_MANY, &why);
        if failed.is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.required(&path.field("maxFailedIndexes"), detail);
        }
    }
    match (completions, failed) {
        (None, _) => errors.required(&path.field("completions"), "when completion mode is Indexed"),
        (Some(completions), Some(failed)) if failed > completions => {
            errors.invalid(&path.field("maxFailedIndexes"), failed, "must be less than or equal to completions");
        }
        _ => {}
    }
}

fn check_success_policy(spec: &Struct, policy: &Node, path: &Path<'_>, errors: &mut Errors) {
    let rules = policy.items_at("rules");
    if rules.is_empty() {
        errors.required(path, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > MAX_RULES {
        errors.too_many(path, rules.len(), MAX_RULES);
    }
    let completions = spec.i64_at("completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let (count, indexes) = (rule.i64_at("succeededCount"), rule.get("succeededIndexes").and_then(Node::as_str));
        if count.is_none() && indexes.is_none() {
            errors.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let total = indexes.map(|text| {
            indexes::count(text, completions).unwrap_or_else(|problem| {
                let detail = format!("error parsing succeededIndexes: {problem}");
                errors.invalid(&path.field("succeededIndexes"), text, detail);
                0
            })
        });
        let Some(count) = count else { continue };
        let path = path.field("succeededCount");
        check_not_negative(Some(count), &path, errors);
        let of_completions = (completions, "the number of specified completions");
        let of_indexes = total.map(|total| (total, "the number of indexes in the specified succeededIndexes field"));
        for (max, what) in std::iter::once(of_completions).chain(of_indexes).filter(|(max, _)| count > *max) {
            errors.invalid(&path, count, format!("must be less than or equal to {max} ({what})"));
        }
    }
}

fn check_replacement(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let Some(policy) = spec.get("podReplacementPolicy").and_then(Node::as_str) else { return };
    let supported: &[&str] =
        if spec.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !supported.contains(&policy) {
        errors.not_supported(path, policy, supported);
    }
}

fn check_restart(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let policy = spec.str_at("template.spec.restartPolicy");
    match policy {
        "" | "Always" => errors.required(path, "valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if spec.has("podFailurePolicy") => {
            errors.invalid(path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" => {}
        _ => errors.not_supported(path, policy, &["OnFailure", "Never"]),
    }
}

fn check_failure_policy(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("rules");
    let rules = spec.items_at("podFailurePolicy.rules");
    if rules.len() > MAX_RULES {
        errors.too_many(&path, rules.len(), MAX_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        check_failure_rule(spec, rule, &path.index(index), errors);
    }
}

/// The values as Go prints a list of texts.
fn listed(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| crate::validation::quoted(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn choose(value: &str, supported: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, listed(supported));
    } else if !supported.contains(&value) {
        errors.not_supported(path, value, supported);
    }
}

fn check_failure_rule(spec: &Struct, rule: &Node, path: &Path<'_>, errors: &mut Errors) {
    let action = rule.str_at("action");
    choose(action, &ACTIONS, &path.field("action"), errors);
    if action == "FailIndex" && !spec.has("backoffLimitPerIndex") {
        errors.invalid(&path.field("action"), action, "requires the backoffLimitPerIndex to be set");
    }
    let (codes, conditions) = (rule.get("onExitCodes"), rule.items_at("onPodConditions"));
    if let Some(codes) = codes {
        check_exit_codes(spec, codes, &path.field("onExitCodes"), errors);
    }
    let conditions_path = path.field("onPodConditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.too_many(&conditions_path, conditions.len(), MAX_CONDITIONS);
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let path = conditions_path.index(index);
        let kind = pattern.str_at("type");
        errors.invalid_each(&path.field("type"), kind, names::qualified_name(kind));
        choose(pattern.str_at("status"), &["False", "True", "Unknown"], &path.field("status"), errors);
    }
    let detail = match (codes.is_some(), conditions.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(ErrorType::Invalid, path, None, detail);
}

fn check_exit_codes(spec: &Struct, codes: &Node, path: &Path<'_>, errors: &mut Errors) {
    let operator = codes.str_at("operator");
    choose(operator, &["In", "NotIn"], &path.field("operator"), errors);
    if let Some(name) = codes.get("containerName").and_then(Node::as_str) {
        let lists = ["template.spec.containers", "template.spec.initContainers"];
        let mut containers = lists.iter().flat_map(|list| spec.items_at(list));
        if !containers.any(|container| container.str_at("name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&path.field("containerName"), name, detail);
        }
    }
    let path = path.field("values");
    let values: Vec<i64> = codes.items_at("values").iter().filter_map(Node::as_i64).collect();
    if values.is_empty() {
        errors.invalid(&path, shown(codes.get("values")), "at least one value is required");
    } else if values.len() > MAX_EXIT_CODES {
        errors.too_many(&path, values.len(), MAX_EXIT_CODES);
    }
    for (index, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.invalid(&path.index(index), *value, "must not be 0 for the In operator");
        }
        if values[..index].contains(value) {
            errors.duplicate(&path.index(index), *value);
        }
    }
    if !values.is_sorted() {
        errors.invalid(&path, shown(codes.get("values")), "must be ordered");
    }
}
