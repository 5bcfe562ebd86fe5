//! Amounts by resource name, and what a pod asks for in all.

use std::collections::BTreeMap;

use api::{Map, Node, Object, quantity::Quantity};

/// Quantities by resource name, in the order of the names.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// The quantities of a map; what cannot be read counts as nothing, validation reports it.
pub(crate) fn amounts(map: Option<&Node>) -> Amounts {
    let entries = map.and_then(Node::as_map).into_iter().flat_map(Map::iter);
    entries.filter_map(|(name, text)| Some((name.to_owned(), text.as_str()?.parse().ok()?))).collect()
}

/// The same from JSON.
pub(crate) fn from_json(map: &serde_json::Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.parse().ok()?))).collect()
}

/// Amounts as a node of the kind that holds them.
pub(crate) fn node(amounts: &Amounts) -> Map {
    amounts.iter().map(|(name, amount)| (name.as_str(), Node::from(amount.to_string()))).collect()
}

/// `a=1,b=2`
pub(crate) fn text(amounts: &Amounts) -> String {
    let pairs: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    pairs.join(",")
}

/// A whole number of things.
pub(crate) fn count(number: usize) -> Quantity {
    Quantity::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// No thing at all.
pub(crate) fn nothing() -> Quantity {
    Quantity::default()
}

/// Adds amounts to others.
pub(crate) fn add(all: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let present = all.entry(name.clone()).or_insert_with(nothing);
        *present = *present + *amount;
    }
}

fn raise(all: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let present = all.entry(name.clone()).or_insert(*amount);
        *present = (*present).max(*amount);
    }
}

/// What a pod asks for (`list` is `requests`) or may use at most (`limits`): its containers together, or more if an
/// init container needs more before them; overhead on top. What the pod says for itself counts instead.
pub(crate) fn of_pod(pod: &Object, list: &str) -> Amounts {
    let of = |container: &Node| amounts(container.at(&format!("resources.{list}")));
    let mut all = Amounts::new();
    for container in pod.body.items_at("spec.containers") {
        add(&mut all, &of(container));
    }
    let (mut beside, mut highest) = (Amounts::new(), Amounts::new());
    for container in pod.body.items_at("spec.initContainers") {
        let own = of(container);
        if container.str_at("restartPolicy") == "Always" {
            // It keeps running beside everything that comes later.
            add(&mut all, &own);
            add(&mut beside, &own);
            raise(&mut highest, &beside);
        } else {
            let mut together = beside.clone();
            add(&mut together, &own);
            raise(&mut highest, &together);
        }
    }
    raise(&mut all, &highest);
    for (name, amount) in amounts(pod.at(&format!("spec.resources.{list}"))) {
        all.insert(name, amount);
    }
    let overhead = amounts(pod.at("spec.overhead"));
    if list == "requests" {
        add(&mut all, &overhead);
    } else {
        // What has no limit gets none by the overhead.
        for (name, amount) in &mut all {
            *amount = *amount + overhead.get(name).copied().unwrap_or_else(nothing);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_for_what_it_needs_at_its_hungriest() {
        let pod = |text: &str| {
            let ty = api::schema::object_type("", "v1", "Pod").unwrap();
            let json = api::yaml::to_json(text).unwrap();
            api::json::decode(ty, &json, api::json::Options::CHECKED).unwrap().object
        };
        for (spec, requests) in [
            ("containers: [{resources: {requests: {cpu: 1, memory: 1Gi}}}, {resources: {requests: {cpu: 500m}}}]", {
                "cpu=1500m,memory=1Gi"
            }),
            ("containers: [{resources: {requests: {cpu: 1}}}], initContainers: [{resources: {requests: {cpu: 3}}}]", {
                "cpu=3"
            }),
            (
                "containers: [{resources: {requests: {cpu: 1}}}], initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}}, {resources: {requests: {cpu: 2}}}]",
                { "cpu=3" },
            ),
            ("containers: [{resources: {requests: {cpu: 1}}}], overhead: {cpu: 100m, memory: 1Mi}", {
                "cpu=1100m,memory=1Mi"
            }),
            ("containers: [{resources: {requests: {cpu: 1}}}], resources: {requests: {cpu: 4}}", "cpu=4"),
        ] {
            let pod = pod(&format!("spec: {{{spec}}}"));
            assert_eq!(text(&of_pod(&pod, "requests")), requests, "{spec}");
        }
        let limited = pod("spec: {containers: [{resources: {limits: {cpu: 1}}}], overhead: {cpu: 100m, memory: 1Mi}}");
        assert_eq!(text(&of_pod(&limited, "limits")), "cpu=1100m");
    }
}
