//! LimitRanger: what a pod asks for lies between the limits of its namespace, and a pod that does not ask gets what the
//! namespace gives. The same for the storage of claims, within limits alone.

use api::{
    Node, Object, Struct,
    quantity::Quantity,
    status::{Grouped, Status},
};
use serde_json::Value;

use super::{Change, Operation};
use crate::{
    amounts::{self, Amounts},
    error::Result,
};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
const LISTS: [(&str, &str); 2] = [("spec.containers", "container"), ("spec.initContainers", "init container")];

/// Every limit of the change's namespace, range by range in the order of their names.
fn limits(change: &Change<'_>) -> Vec<Value> {
    let mut limits = Vec::new();
    change.storage.visit_local("", "limitranges", change.namespace, |_, range| {
        let json: Value = serde_json::from_slice(range.json()).unwrap_or_default();
        limits.extend(json["spec"]["limits"].as_array().cloned().unwrap_or_default());
        true
    });
    limits
}

fn concerns(change: &Change<'_>) -> bool {
    match change.operation {
        Operation::Create => change.is("", "pods") || change.is("", "persistentvolumeclaims"),
        Operation::Update => change.is_part("pods", "resize") || change.is("", "persistentvolumeclaims"),
        Operation::Delete => false,
    }
}

/// Gives containers what they do not ask for.
pub(super) fn mutate(change: &Change<'_>, pod: &mut Object) {
    if !change.is("", "pods") || change.operation != Operation::Create {
        return;
    }
    let (mut requests, mut given) = (Amounts::new(), Amounts::new());
    for limit in limits(change).iter().filter(|limit| limit["type"] == "Container") {
        for (name, amount) in amounts::from_json(&limit["defaultRequest"]) {
            requests.entry(name).or_insert(amount);
        }
        for (name, amount) in amounts::from_json(&limit["default"]) {
            given.entry(name).or_insert(amount);
        }
    }
    if requests.is_empty() && given.is_empty() {
        return;
    }
    give(pod, &requests, &given);
}

fn give(pod: &mut Object, requests: &Amounts, limits: &Amounts) {
    let mut notes = Vec::new();
    for (list, what) in LISTS {
        let Some(Node::List(containers)) = pod.body.at_mut(list) else { continue };
        for container in containers.iter_mut().filter_map(Node::as_struct_mut) {
            let name = container.str_at("name").to_owned();
            for (field, word, amounts) in [("requests", "request", requests), ("limits", "limit", limits)] {
                let set = fill(container, field, amounts);
                if !set.is_empty() {
                    notes.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        pod.set_annotation(ANNOTATION, &format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// Sets what is absent, and says what that was.
fn fill(container: &mut Struct, field: &str, amounts: &Amounts) -> Vec<String> {
    if amounts.is_empty() {
        return Vec::new();
    }
    let Node::Map(present) = container.entry_at(&format!("resources.{field}")) else { return Vec::new() };
    let mut set = Vec::new();
    for (name, amount) in amounts {
        if present.get(name).is_none() {
            present.insert(name.as_str(), amount.to_string());
            set.push(name.clone());
        }
    }
    set
}

/// Refuses what lies outside the limits.
pub(super) fn validate(change: &Change<'_>, object: &Object) -> Result<()> {
    if !concerns(change) {
        return Ok(());
    }
    let limits = limits(change);
    let complaints = if change.kind.plural == "pods" { pod(&limits, object) } else { claim(&limits, object) };
    let why = match complaints.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let resource = Grouped::new(change.kind.group, change.kind.plural);
    Err(Status::forbidden(resource, object.name(), &why).into())
}

fn pod(limits: &[Value], pod: &Object) -> Vec<String> {
    let mut complaints = Vec::new();
    for limit in limits {
        match limit["type"].as_str() {
            Some("Container") => {
                for container in LISTS.iter().flat_map(|(list, _)| pod.body.items_at(list)) {
                    let of = |field: &str| amounts::amounts(container.at(&format!("resources.{field}")));
                    check(limit, &of("requests"), &of("limits"), &mut complaints);
                }
            }
            Some("Pod") => {
                let of = |list: &str| amounts::of_pod(pod, list);
                check(limit, &of("requests"), &of("limits"), &mut complaints);
            }
            _ => {}
        }
    }
    complaints
}

fn claim(limits: &[Value], claim: &Object) -> Vec<String> {
    let requests = amounts::amounts(claim.at("spec.resources.requests"));
    let mut complaints = Vec::new();
    for limit in limits.iter().filter(|limit| limit["type"] == "PersistentVolumeClaim") {
        for (name, least) in amounts::from_json(&limit["min"]) {
            at_least(&name, "PersistentVolumeClaim", least, requests.get(&name), None, &mut complaints);
        }
        for (name, most) in amounts::from_json(&limit["max"]) {
            let asked = requests.get(&name);
            if asked.is_some_and(|asked| *asked > most) {
                complaints.push(format!(
                    "maximum {name} usage per PersistentVolumeClaim is {most}, but request is {}",
                    asked.copied().unwrap_or_default()
                ));
            }
        }
    }
    complaints
}

fn check(limit: &Value, requests: &Amounts, limits: &Amounts, complaints: &mut Vec<String>) {
    let kind = limit["type"].as_str().unwrap_or_default();
    for (name, least) in amounts::from_json(&limit["min"]) {
        at_least(&name, kind, least, requests.get(&name), limits.get(&name), complaints);
    }
    for (name, most) in amounts::from_json(&limit["max"]) {
        let (asked, limited) = (requests.get(&name), limits.get(&name));
        let maximum = format!("maximum {name} usage per {kind} is {most}");
        match (limited, asked) {
            (None, _) => complaints.push(format!("{maximum}.  No limit is specified")),
            (Some(limited), _) if *limited > most => complaints.push(format!("{maximum}, but limit is {limited}")),
            (_, Some(asked)) if *asked > most => complaints.push(format!("{maximum}, but request is {asked}")),
            _ => {}
        }
    }
    for (name, most) in amounts::from_json(&limit["maxLimitRequestRatio"]) {
        ratio(&name, kind, most, requests.get(&name), limits.get(&name), complaints);
    }
}

fn at_least(
    name: &str,
    kind: &str,
    least: Quantity,
    asked: Option<&Quantity>,
    limited: Option<&Quantity>,
    complaints: &mut Vec<String>,
) {
    let minimum = format!("minimum {name} usage per {kind} is {least}");
    match (asked, limited) {
        (None, _) => complaints.push(format!("{minimum}.  No request is specified")),
        (Some(asked), _) if *asked < least => complaints.push(format!("{minimum}, but request is {asked}")),
        (_, Some(limited)) if *limited < least => complaints.push(format!("{minimum}, but limit is {limited}")),
        _ => {}
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is shown with six digits")]
fn ratio(
    name: &str,
    kind: &str,
    most: Quantity,
    asked: Option<&Quantity>,
    limited: Option<&Quantity>,
    complaints: &mut Vec<String>,
) {
    let maximum = format!("{name} max limit to request ratio per {kind} is {most}");
    match (asked.filter(|asked| !asked.is_zero()), limited.filter(|limited| !limited.is_zero())) {
        (None, _) => complaints.push(format!("{maximum}, but no request is specified or request is 0")),
        (_, None) => complaints.push(format!("{maximum}, but no limit is specified or limit is 0")),
        (Some(asked), Some(limited)) => {
            let provided = limited.milli_value() as f64 / asked.milli_value() as f64;
            if provided > most.milli_value() as f64 / 1000.0 {
                complaints.push(format!("{maximum}, but provided ratio is {provided:.6}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(text: &str) -> Object {
        let ty = api::schema::object_type("", "v1", "Pod").unwrap();
        let json = api::yaml::to_json(text).unwrap();
        api::json::decode(ty, &json, api::json::Options::CHECKED).unwrap().object
    }

    #[test]
    fn a_pod_gets_what_it_does_not_ask_for() {
        let mut pod = object(
            "spec: {containers: [{name: a, resources: {requests: {cpu: 2}}}, {name: b}], initContainers: [{name: i, resources: {requests: {cpu: 1}, limits: {cpu: 1}}}]}",
        );
        let of = |text: &str| amounts::from_json(&serde_json::from_str(text).unwrap());
        give(&mut pod, &of(r#"{"cpu":"100m"}"#), &of(r#"{"cpu":"3"}"#));
        assert_eq!(pod.str_at("spec.containers.0.resources.requests.cpu"), "2");
        assert_eq!(pod.str_at("spec.containers.0.resources.limits.cpu"), "3");
        assert_eq!(pod.str_at("spec.containers.1.resources.requests.cpu"), "100m");
        assert_eq!(
            pod.annotation(ANNOTATION),
            Some(
                "LimitRanger plugin set: cpu limit for container a; cpu request for container b; cpu limit for container b"
            )
        );
    }

    #[test]
    fn what_lies_outside_is_told() {
        let of = |limit: Value, resources: &str| {
            pod(&[limit], &object(&format!("spec: {{containers: [{{name: a, resources: {resources}}}]}}")))
        };
        let container = |bound: &str, amount: &str| json!({ "type": "Container", bound: { "cpu": amount } });
        for (limit, resources, expected) in [
            (container("min", "1"), "{requests: {cpu: 2}}", ""),
            (
                container("min", "1"),
                "{requests: {cpu: 500m}}",
                "minimum cpu usage per Container is 1, but request is 500m",
            ),
            (container("min", "1"), "{}", "minimum cpu usage per Container is 1.  No request is specified"),
            (container("max", "1"), "{limits: {cpu: 2}}", "maximum cpu usage per Container is 1, but limit is 2"),
            (
                container("max", "1"),
                "{requests: {cpu: 1}}",
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (container("maxLimitRequestRatio", "2"), "{requests: {cpu: 1}, limits: {cpu: 3}}", {
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"
            }),
            (json!({ "type": "Pod", "max": { "memory": "1Gi" } }), "{limits: {memory: 2Gi}}", {
                "maximum memory usage per Pod is 1Gi, but limit is 2Gi"
            }),
        ] {
            assert_eq!(of(limit, resources).join(", "), expected);
        }
    }
}
