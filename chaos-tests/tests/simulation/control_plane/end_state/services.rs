//! The endpoints of a Service are its ready pods, in both forms, and there every node leads connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddrV4,
};

use node_agent::Destinations;
use serde_json::Value;

use super::{Object, Objects, of_kind};
use crate::{
    control_plane::{routes::frontends, workload::TARGET_PORT},
    network::Place,
};

type Addresses<'a> = BTreeSet<&'a str>;

pub(super) fn service(
    service: &Object,
    objects: &Objects,
    routes: &BTreeMap<Place, Destinations>,
) -> Result<(), String> {
    let Some(selector) = service.json["spec"]["selector"].as_object() else { return Ok(()) };
    let is_here = |object: &&Object| object.json["metadata"]["namespace"] == service.json["metadata"]["namespace"];
    let is_selected = |pod: &&Object| {
        let labels = &pod.json["metadata"]["labels"];
        selector.iter().all(|(label, value)| labels[label] == *value)
    };
    let pods = of_kind(objects, "pods/").filter(is_here).filter(is_selected);
    let ready: Addresses = pods.filter_map(|pod| pod.json["status"]["podIP"].as_str()).collect();
    let name = &service.json["metadata"]["name"];
    let of_service = |slice: &&Object| slice.json["metadata"]["labels"]["kubernetes.io/service-name"] == *name;
    let slices: Vec<&Object> =
        of_kind(objects, "discovery.k8s.io/endpointslices/").filter(is_here).filter(of_service).collect();
    let told: Addresses = slices.iter().flat_map(|slice| of_slice(slice)).collect();
    let older: Addresses = of_kind(objects, "endpoints/")
        .filter(is_here)
        .filter(|endpoints| endpoints.json["metadata"]["name"] == *name)
        .flat_map(of_endpoints)
        .collect();
    if slices.is_empty() || told != ready || older != ready {
        return Err(format!("its ready pods are at {ready:?}; slices tell {told:?}, endpoints {older:?}"));
    }
    let at = |address: &&str| Some(SocketAddrV4::new(address.parse().ok()?, TARGET_PORT));
    let expected: BTreeSet<SocketAddrV4> = ready.iter().filter_map(at).collect();
    for (node, routes) in routes {
        if let Some(frontend) =
            frontends(service, *node).iter().find(|frontend| routes.get(*frontend) != Some(&expected))
        {
            return Err(format!("node {node} leads {frontend} to {:?} and not to {expected:?}", routes.get(frontend)));
        }
    }
    Ok(())
}

/// Nothing is led anywhere for a Service that is gone.
pub(super) fn no_others(objects: &Objects, routes: &BTreeMap<Place, Destinations>) -> Result<(), String> {
    for (node, routes) in routes {
        let known: BTreeSet<SocketAddrV4> =
            of_kind(objects, "services/").flat_map(|service| frontends(service, *node)).collect();
        if let Some(frontend) = routes.keys().find(|frontend| !known.contains(*frontend)) {
            return Err(format!("node {node} leads {frontend} somewhere, which no Service has"));
        }
    }
    Ok(())
}

/// There are none without a Service.
pub(super) fn endpoints(key: &str, objects: &Objects) -> Result<(), String> {
    let service = key.replacen("endpoints/", "services/", 1);
    if objects.contains_key(&service) { Ok(()) } else { Err("stays though its Service is gone".to_owned()) }
}

fn of_slice(slice: &Object) -> impl Iterator<Item = &str> {
    let endpoints = slice.json["endpoints"].as_array().into_iter().flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    ready.flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten()).filter_map(Value::as_str)
}

fn of_endpoints(endpoints: &Object) -> impl Iterator<Item = &str> {
    let subsets = endpoints.json["subsets"].as_array().into_iter().flatten();
    let addresses = subsets.flat_map(|subset| subset["addresses"].as_array().into_iter().flatten());
    addresses.filter_map(|address| address["ip"].as_str())
}
