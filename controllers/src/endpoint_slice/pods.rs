//! What the pods of a Service are to it: which they are, where their ports are, and whether they take traffic.

use std::collections::BTreeMap;

use api::stored::StoredObject;
use client::Key;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::packing::Group;
use crate::caches::resources::{PODS, SERVICES};
use crate::caches::{Cached, Caches, Digest, decode};
use crate::meta::Strings;
use crate::pod_digest::condition;
use crate::runtime::{Item, Occurrence};

/// The selector of a Service whose pods are looked after here; `None` for all others.
pub(crate) fn selector(service: &Service) -> Option<&Strings> {
    let spec = service.spec.as_ref()?;
    let is_here = spec.type_.as_deref() != Some("ExternalName");
    spec.selector.as_ref().filter(|selector| is_here && !selector.is_empty())
}

/// Whether the Service has no address of its own on purpose.
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

/// Whether pods are told of that are not ready.
pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// The kinds of addresses the Service has.
pub(crate) fn families(service: &Service) -> Vec<&str> {
    let spec = service.spec.as_ref();
    let families: Vec<&str> =
        spec.and_then(|spec| spec.ip_families.as_ref()).into_iter().flatten().map(String::as_str).collect();
    if !families.is_empty() {
        return families;
    }
    let address = spec.and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    vec![if address.contains(':') { "IPv6" } else { "IPv4" }]
}

/// The pods that the Service selects, in the order of their names.
pub(crate) fn selected(caches: &Caches, service: &Service) -> Vec<Pod> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let pods = caches.of(&PODS).in_namespace(namespace);
    pods.iter().filter(|pod| selects(selector, pod)).filter_map(|pod| decode(&PODS, pod)).collect()
}

fn selects(selector: &Strings, pod: &Cached) -> bool {
    selector.iter().all(|(key, value)| pod.object.header().label(key) == Some(value))
}

/// The little of a Service that says whether it selects a pod.
#[derive(Deserialize)]
struct Selecting {
    spec: Option<SelectingSpec>,
}

#[derive(Deserialize)]
struct SelectingSpec {
    selector: Option<Strings>,
}

/// What the cache of Services keeps of each.
pub(crate) fn selector_of(service: &StoredObject) -> Digest {
    match client::cache::decode::<Selecting>(service) {
        Ok(service) => Digest::Selector(service.spec.and_then(|spec| spec.selector).unwrap_or_default()),
        Err(error) => {
            tracing::error!(name = %service.header().name, %error, "a Service could not be read");
            Digest::Selector(Strings::default())
        }
    }
}

/// A pod wakes the Services that select it, and those that did.
pub(crate) fn services_of(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    for service in occurrence.caches.of(&SERVICES).in_namespace(&occurrence.key.namespace) {
        let Digest::Selector(selector) = &service.projection else { continue };
        if !selector.is_empty() && occurrence.both().any(|pod| selects(selector, pod)) {
            wake(Item::new(SERVICES, Key::of(&service.object)));
        }
    }
}

/// The endpoints of one family, grouped by the ports they serve at: a port that is named may be another one in each pod.
pub(super) fn groups(service: &Service, pods: &[Pod], zones: &BTreeMap<String, String>, family: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for pod in pods.iter().filter(|pod| has_place(pod)) {
        let Some(address) = address(pod, family) else { continue };
        let ports = ports(service, pod);
        let endpoint = endpoint(service, pod, address, zones);
        match groups.iter_mut().find(|group| group.ports == ports) {
            Some(group) => group.endpoints.push(endpoint),
            None => groups.push(Group { ports, endpoints: vec![endpoint] }),
        }
    }
    groups
}

/// Whether the pod may still answer anybody.
pub(crate) fn has_place(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The pod's address of a family.
pub(crate) fn address<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    let status = pod.status.as_ref()?;
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
    let is_of_family = |ip: &&str| !ip.is_empty() && ip.contains(':') == (family == "IPv6");
    all.into_iter().find(is_of_family)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let ready = pod.status.as_ref().and_then(|status| condition(status, "Ready"));
    ready.is_some_and(|ready| ready.status == "True")
}

/// What refers to the pod.
pub(crate) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The name under which the pod is found below the Service's, if it asked for one.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|hostname| below && !hostname.is_empty())
}

pub(crate) fn node_name(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone().filter(|node| !node.is_empty())
}

fn endpoint(service: &Service, pod: &Pod, address: &str, zones: &BTreeMap<String, String>) -> Endpoint {
    let serving = is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node_name = node_name(pod);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publishes_not_ready(service) || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        zone: node_name.as_ref().and_then(|node| zones.get(node)).cloned(),
        node_name,
        target_ref: Some(target(pod)),
        ..Endpoint::default()
    }
}

/// The Service's ports as this pod has them. One that the pod does not name is left out.
pub(crate) fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let resolve = |port: &ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            protocol: Some(protocol(port.protocol.as_deref()).to_owned()),
            port: Some(target_port(port, pod)?),
            app_protocol: port.app_protocol.clone(),
        })
    };
    ports.into_iter().flatten().filter_map(resolve).collect()
}

fn protocol(protocol: Option<&str>) -> &str {
    protocol.filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut named = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let wanted = protocol(port.protocol.as_deref());
    let found = named.find(|own| own.name.as_ref() == Some(name) && protocol(own.protocol.as_deref()) == wanted)?;
    Some(found.container_port)
}
