//! The quality-of-service class of a pod: how willingly a node kills it when resources run out.

use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::quantity::Quantity;

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`, from the cpu and memory of all containers.
pub fn class(pod: &Object) -> &'static str {
    let Some(spec) = pod.at("spec").and_then(Node::as_struct) else { return "BestEffort" };
    if let Some(resources) = spec.get("resources").and_then(Node::as_struct).filter(|resources| asks(resources)) {
        return if is_fixed(resources) { "Guaranteed" } else { "Burstable" };
    }
    let containers = || {
        ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| spec.items_at(list))
            .map(|container| container.get("resources").and_then(Node::as_struct))
    };
    if !containers().flatten().any(asks) {
        "BestEffort"
    } else if containers().all(|resources| resources.is_some_and(is_fixed)) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn amount(resources: &Struct, list: &str, name: &str) -> Option<Quantity> {
    let quantities: &Map = resources.get(list)?.as_map()?;
    let quantity: Quantity = quantities.get(name)?.as_str()?.parse().ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

fn asks(resources: &Struct) -> bool {
    COUNTED
        .iter()
        .any(|name| amount(resources, "requests", name).is_some() || amount(resources, "limits", name).is_some())
}

/// Whether cpu and memory are limited to exactly what is asked for.
fn is_fixed(resources: &Struct) -> bool {
    COUNTED.iter().all(|name| {
        let limit = amount(resources, "limits", name);
        limit.is_some() && amount(resources, "requests", name).is_none_or(|request| Some(request) == limit)
    })
}
