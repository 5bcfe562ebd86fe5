//! Which objects a quota is about: all that use what it limits, or only pods of a certain sort.

use api::{Object, core::v1::pod::quality_of_service_class};
use serde_json::Value;

/// True when a quota with this `spec` is about the object, which is a pod if `pod`.
pub(crate) fn matches(spec: &Value, object: &Object, is_pod: bool) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let plain = list(&spec["scopes"]);
    let selected = list(&spec["scopeSelector"]["matchExpressions"]);
    if plain.is_empty() && selected.is_empty() {
        return true;
    }
    is_pod
        && plain.iter().all(|scope| holds(scope.as_str().unwrap_or_default(), "Exists", &[], object))
        && selected.iter().all(|one| {
            let values: Vec<Value> = list(&one["values"]);
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
            holds(&text("scopeName"), &text("operator"), &values, object)
        })
}

fn holds(scope: &str, operator: &str, values: &[&str], pod: &Object) -> bool {
    let ends = pod.body.i64_at("spec.activeDeadlineSeconds").is_some();
    let best_effort = || quality_of_service_class(pod) == "BestEffort";
    match scope {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        "PriorityClass" => {
            let class = pod.str_at("spec.priorityClassName");
            match operator {
                "In" => values.contains(&class),
                "NotIn" => !values.contains(&class),
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        _ => false,
    }
}

/// True when an affinity looks at pods of other namespaces.
fn crosses_namespaces(pod: &Object) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|affinity| {
        let terms = |list: &str| pod.body.items_at(&format!("spec.affinity.{affinity}.{list}"));
        let required = terms("requiredDuringSchedulingIgnoredDuringExecution").iter();
        let preferred = terms("preferredDuringSchedulingIgnoredDuringExecution").iter();
        required
            .chain(preferred.filter_map(|term| term.get("podAffinityTerm")))
            .any(|term| !term.items_at("namespaces").is_empty() || term.get("namespaceSelector").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_tell_pods_apart() {
        let kind = api::kind::lookup("", "v1", "pods").unwrap();
        let text = "spec: {activeDeadlineSeconds: 5, priorityClassName: high, containers: [{resources: {requests: {cpu: 1}}}]}";
        let json = api::yaml::to_json(text).unwrap();
        let pod = api::json::decode(kind.ty, &json, api::json::Options::CHECKED).unwrap().object;
        let selector = |operator: &str, values: &[&str]| {
            json!({ "scopeSelector": { "matchExpressions": [
                { "scopeName": "PriorityClass", "operator": operator, "values": values },
            ] } })
        };
        for (spec, expected) in [
            (json!({}), true),
            (json!({ "scopes": ["Terminating"] }), true),
            (json!({ "scopes": ["Terminating", "BestEffort"] }), false),
            (json!({ "scopes": ["NotTerminating"] }), false),
            (json!({ "scopes": ["NotBestEffort"] }), true),
            (json!({ "scopes": ["CrossNamespacePodAffinity"] }), false),
            (selector("In", &["high", "low"]), true),
            (selector("NotIn", &["high"]), false),
            (selector("Exists", &[]), true),
            (selector("DoesNotExist", &[]), false),
        ] {
            assert_eq!(matches(&spec, &pod, true), expected, "{spec}");
        }
        assert!(!matches(&json!({ "scopes": ["Terminating"] }), &pod, false));
    }
}
