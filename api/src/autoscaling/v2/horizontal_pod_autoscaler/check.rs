//! What a HorizontalPodAutoscaler may say.

use crate::meta::shown;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::quantity::Quantity;
use crate::schema::types;
use crate::validation::{Errors, Path};

const PERIOD_MAX: i64 = 1800;
const WINDOW_MAX: i64 = 3600;
/// The kinds of metrics and the fields that hold them, in the order in which errors name them.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const SOURCE_NAMES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

pub(super) fn autoscaler(autoscaler: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::AUTOSCALING_V2_HORIZONTAL_POD_AUTOSCALER_SPEC);
    let spec = autoscaler.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    let (min, max) = (spec.i64_at("minReplicas"), spec.i64_at("maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.invalid(&path.field("minReplicas"), min, "must be greater than or equal to 1");
    }
    if max < 1 {
        errors.invalid(&path.field("maxReplicas"), max, "must be greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(&path.field("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    check_reference(spec.get("scaleTargetRef"), &path.field("scaleTargetRef"), errors);
    for (index, metric) in spec.items_at("metrics").iter().enumerate() {
        check_metric(metric, &path.field("metrics").index(index), errors);
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.get("behavior").and_then(|behavior| behavior.get(direction)) {
            check_rules(rules, &path.field("behavior").field(direction), errors);
        }
    }
}

fn check_reference(reference: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    for field in ["kind", "name"] {
        let value = reference.map_or("", |reference| reference.str_at(field));
        if value.is_empty() {
            errors.required(&path.field(field), "");
        }
        errors.invalid_each(&path.field(field), value, names::path_segment(value));
    }
}

fn check_metric(metric: &Node, path: &Path<'_>, errors: &mut Errors) {
    let kind = metric.str_at("type");
    if kind.is_empty() {
        errors.required(&path.field("type"), "must specify a metric source type");
    }
    let present: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.get(field).is_some()).collect();
    if let Some((field, source)) = present.first().and_then(|field| Some((*field, metric.get(field)?))) {
        check_source(field, source, &path.field(field), errors);
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    match expected {
        None => errors.not_supported(&path.field("type"), kind, &SOURCE_NAMES),
        Some(field) if !present.contains(&field) => {
            errors.required(&path.field(field), "must populate information for the given metric source");
        }
        Some(_) => {}
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| Some(**field) != expected) {
            errors.forbidden(&path.field(field), "must populate the given metric source only");
        }
    }
}

fn check_source(field: &str, source: &Node, path: &Path<'_>, errors: &mut Errors) {
    if field == "object" {
        check_reference(source.get("describedObject"), &path.field("describedObject"), errors);
    }
    match field {
        "resource" | "containerResource" => {
            if source.str_at("name").is_empty() {
                errors.required(&path.field("name"), "must specify a resource name");
            }
            if field == "containerResource" && source.str_at("container").is_empty() {
                errors.required(&path.field("container"), "must specify a container");
            }
        }
        _ => {
            let (path, name) = (path.field("metric"), source.str_at("metric.name"));
            if name.is_empty() {
                errors.required(&path.field("name"), "must specify a metric name");
            }
            errors.invalid_each(&path.field("name"), name, names::path_segment(name));
        }
    }
    let path = path.field("target");
    let target = source.get("target");
    check_target(target, &path, errors);
    let has = |field: &str| target.is_some_and(|target| target.get(field).is_some());
    match field {
        "object" | "external" if !has("value") && !has("averageValue") => {
            let detail = match field {
                "object" => "must set either a target value or averageValue",
                _ => "must set either a target value for metric or a per-pod target",
            };
            errors.required(&path.field("averageValue"), detail);
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(&path.field("value"), detail);
        }
        "pods" if !has("averageValue") => {
            errors.required(&path.field("averageValue"), "must specify a positive target averageValue");
        }
        "resource" | "containerResource" => match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let detail = "must set either a target raw value or a target utilization";
                errors.required(&path.field("averageUtilization"), detail);
            }
            (true, true) => {
                let detail = "may not set both a target raw value and a target utilization";
                errors.forbidden(&path.field("averageValue"), detail);
            }
            _ => {}
        },
        _ => {}
    }
}

fn check_target(target: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let kind = target.map_or("", |target| target.str_at("type"));
    if kind.is_empty() {
        errors.required(&path.field("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.invalid(&path.field("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let Some(amount) = target.and_then(|target| target.get(field)).and_then(Node::as_str) else { continue };
        if amount.parse::<Quantity>().is_ok_and(|amount| amount.sign() < 1) {
            errors.invalid(&path.field(field), amount, "must be positive");
        }
    }
    if let Some(percent) = target.and_then(|target| target.i64_at("averageUtilization")).filter(|percent| *percent < 1)
    {
        errors.invalid(&path.field("averageUtilization"), percent, "must be greater than 0");
    }
}

fn check_rules(rules: &Node, path: &Path<'_>, errors: &mut Errors) {
    let window_path = path.field("stabilizationWindowSeconds");
    match rules.i64_at("stabilizationWindowSeconds") {
        Some(window) if window < 0 => {
            errors.invalid(&window_path, window, "must be greater than or equal to zero");
        }
        Some(window) if window > WINDOW_MAX => {
            errors.invalid(&window_path, window, format!("must be less than or equal to {WINDOW_MAX}"));
        }
        _ => {}
    }
    if let Some(policy) = rules.get("selectPolicy").and_then(Node::as_str)
        && !matches!(policy, "Disabled" | "Max" | "Min")
    {
        errors.not_supported(&path.field("selectPolicy"), policy, &["Disabled", "Max", "Min"]);
    }
    if let Some(tolerance) = rules.get("tolerance")
        && tolerance.as_str().and_then(|text| text.parse::<Quantity>().ok()).is_some_and(|amount| amount.sign() < 0)
    {
        errors.invalid(&path.field("tolerance"), shown(Some(tolerance)), "must be greater than or equal to 0");
    }
    let path = path.field("policies");
    let policies = rules.items_at("policies");
    if policies.is_empty() {
        errors.required(&path, "must specify at least one Policy");
    }
    for (index, policy) in policies.iter().enumerate() {
        check_policy(policy, &path.index(index), errors);
    }
}

fn check_policy(policy: &Node, path: &Path<'_>, errors: &mut Errors) {
    let kind = policy.str_at("type");
    if !matches!(kind, "Pods" | "Percent") {
        errors.not_supported(&path.field("type"), kind, &["Percent", "Pods"]);
    }
    for field in ["value", "periodSeconds"] {
        let value = policy.i64_at(field).unwrap_or(0);
        if value <= 0 {
            errors.invalid(&path.field(field), value, "must be greater than zero");
        }
        if field == "periodSeconds" && value > PERIOD_MAX {
            errors.invalid(&path.field(field), value, format!("must be less than or equal to {PERIOD_MAX}"));
        }
    }
}
