//! Projections of the caches: what the snapshot keeps of each pod and node.

use api::stored::StoredObject;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use crate::resources::{Resources, assumed_use, requests};
use crate::snapshot::{HostPort, NodeFacts, PodFacts};

/// A pod, or nothing when it cannot be read.
pub(crate) fn pod(object: &StoredObject) -> Option<PodFacts> {
    match client::cache::decode::<Pod>(object) {
        Ok(pod) => Some(pod_facts(object, &pod)),
        Err(error) => {
            tracing::error!(name = %object.header().name, %error, "a pod could not be read");
            None
        }
    }
}

pub(crate) fn pod_facts(object: &StoredObject, pod: &Pod) -> PodFacts {
    let spec = pod.spec.as_ref();
    let header = object.header();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let owner = header.owner_references.iter().find(|owner| owner.controller).map(|owner| owner.uid.clone());
    PodFacts {
        node: spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default().into(),
        requests: spec.map(requests).unwrap_or_default(),
        assumed_use: spec.map(assumed_use).unwrap_or_default(),
        host_ports: spec.map(host_ports).unwrap_or_default(),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        deleting: header.deleting,
        gated: spec.and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty()),
        ours: spec.and_then(|spec| spec.scheduler_name.as_deref()).is_none_or(|name| name == "default-scheduler"),
        priority: spec.and_then(|spec| spec.priority).unwrap_or_default(),
        owner,
    }
}

pub(crate) fn host_ports(spec: &PodSpec) -> Box<[HostPort]> {
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let host_port = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let number = u16::try_from(port.host_port?).ok().filter(|number| *number > 0)?;
        Some(HostPort {
            port: number,
            protocol: port.protocol.as_deref().unwrap_or("TCP").into(),
            address: port.host_ip.as_deref().filter(|address| *address != "0.0.0.0").unwrap_or_default().into(),
        })
    };
    ports.filter_map(host_port).collect()
}

/// A node, or nothing when it cannot be read.
pub(crate) fn node(object: &StoredObject) -> Option<NodeFacts> {
    match client::cache::decode::<Node>(object) {
        Ok(node) => Some(node_facts(&node)),
        Err(error) => {
            tracing::error!(name = %object.header().name, %error, "a node could not be read");
            None
        }
    }
}

pub(crate) fn node_facts(node: &Node) -> NodeFacts {
    let spec = node.spec.as_ref();
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let pods = allocatable.and_then(|amounts| amounts.get("pods"));
    let pods = pods.and_then(|pods| pods.0.parse::<api::quantity::Quantity>().ok());
    NodeFacts {
        name: node.metadata.name.clone().unwrap_or_default().into(),
        labels: node.metadata.labels.clone().unwrap_or_default(),
        taints: spec.and_then(|spec| spec.taints.clone()).unwrap_or_default(),
        unschedulable: spec.and_then(|spec| spec.unschedulable) == Some(true),
        allocatable: allocatable.map(Resources::of).unwrap_or_default(),
        pods_max: pods.map_or(0, |pods| pods.value()),
        deleting: node.metadata.deletion_timestamp.is_some(),
    }
}
