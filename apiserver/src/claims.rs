//! Names that only one object may hold: addresses and ports of Services, address ranges of Nodes.
//!
//! What an object claims follows from the object alone, so a claim is taken and given back in the very transaction that
//! writes the object, and nothing has to be repaired afterwards.

use std::collections::BTreeSet;

use api::{
    Node, Object,
    kind::Kind,
    status::Status,
    validation::{Errors, Path, Value},
};

use crate::{error::Error, storage::Storage};

const ROOT: &str = "/kontiki/claims/";

/// The key of a Service's address.
pub(crate) fn address(address: &str) -> String {
    format!("{ROOT}service-address/{address}")
}

/// The key of a Service's node port.
pub(crate) fn node_port(port: i64) -> String {
    format!("{ROOT}node-port/{port}")
}

/// Everything an object claims.
pub(crate) fn of(kind: &Kind, object: &Object) -> BTreeSet<String> {
    let texts = |path| object.body.items_at(path).iter().filter_map(Node::as_str);
    match (kind.group, kind.plural) {
        ("", "services") => {
            let addresses = texts("spec.clusterIPs").filter(|ip| !matches!(*ip, "" | "None")).map(address);
            let ports = object.body.items_at("spec.ports").iter().filter_map(|port| port.i64_at("nodePort"));
            let health = object.body.i64_at("spec.healthCheckNodePort");
            addresses.chain(ports.chain(health).filter(|port| *port > 0).map(node_port)).collect()
        }
        ("", "nodes") => texts("spec.podCIDRs").map(|range| format!("{ROOT}pod-range/{range}")).collect(),
        _ => BTreeSet::new(),
    }
}

/// What a change takes, and what it gives back.
pub(crate) fn difference(
    kind: &Kind,
    old: Option<&Object>,
    new: Option<&Object>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let held = |object: Option<&Object>| object.map(|object| of(kind, object)).unwrap_or_default();
    let (before, after) = (held(old), held(new));
    (after.difference(&before).cloned().collect(), before.difference(&after).cloned().collect())
}

/// The refusal of an object whose claim somebody else holds.
pub(crate) fn taken(kind: &Kind, object: &Object, claims: &BTreeSet<String>, storage: &Storage) -> Error {
    let view = storage.view();
    let mut errors = Errors::default();
    let spec = Path::Root.field("spec");
    for claim in claims.iter().filter(|claim| view.get(claim.as_bytes()).is_some()) {
        let (what, value) = claim.strip_prefix(ROOT).and_then(|rest| rest.split_once('/')).unwrap_or_default();
        match what {
            "service-address" => {
                let detail = format!("failed to allocate IP {value}: provided IP is already allocated");
                errors.invalid(&spec.field("clusterIPs"), Value::text(format!("[\"{value}\"]")), detail);
            }
            "node-port" => {
                let ports = object.body.items_at("spec.ports");
                let index =
                    ports.iter().position(|port| port.i64_at("nodePort").is_some_and(|own| own.to_string() == value));
                let list = spec.field("ports");
                let path = list.index(index.unwrap_or_default());
                errors.invalid(&path.field("nodePort"), Value::text(value), "provided port is already allocated");
            }
            _ => errors.invalid(&spec.field("podCIDRs"), value, "the range belongs to another node"),
        }
    }
    if errors.is_empty() {
        return Status::modified(kind.resource(), object.name()).into();
    }
    Status::invalid(kind.grouped_kind(), object.name(), &errors).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ips: &[&str], ports: &[i64]) -> Object {
        let mut service = Object::of("v1", "Service").unwrap();
        service.set("spec.clusterIPs", ips.to_vec());
        for port in ports {
            let mut entry = service.body.struct_at("spec").new_item("ports").unwrap();
            entry.set("nodePort", *port);
            service.body.list_at("spec.ports").push(Node::Struct(entry));
        }
        service
    }

    #[test]
    fn a_change_takes_what_is_new_and_gives_back_what_is_gone() {
        let kind = api::kind::lookup("", "v1", "services").unwrap();
        let (old, new) = (service(&["10.0.0.1"], &[30000]), service(&["10.0.0.1"], &[30001, 30001]));
        let (claim, release) = difference(kind, Some(&old), Some(&new));
        assert_eq!(claim.into_iter().collect::<Vec<_>>(), ["/kontiki/claims/node-port/30001"]);
        assert_eq!(release.into_iter().collect::<Vec<_>>(), ["/kontiki/claims/node-port/30000"]);
        let (claim, release) = difference(kind, Some(&new), None);
        assert_eq!((claim.len(), release.len()), (0, 2));
        assert!(of(kind, &service(&["None"], &[])).is_empty());
    }
}
