//! `Pod`: containers that run together on one node.

use crate::core::v1::{pod_spec, pod_template};
use crate::kind::{Generation, Kind, PROXY_VERBS, Part, READ_AND_CHANGE, SelectableField, Subresource, field_paths};
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{age_column, column, name_column, wide};
use crate::validation::{Errors, Path};

mod ephemeral_containers;
mod print;
mod quality_of_service;
mod resize;
mod update;

pub use quality_of_service::class as quality_of_service_class;

/// The mark of a pod that a node runs from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

const FIELDS: [SelectableField; 9] = [
    SelectableField::bool("spec.hostNetwork"),
    SelectableField::text("spec.nodeName"),
    SelectableField::text("spec.restartPolicy"),
    SelectableField::text("spec.schedulerName"),
    SelectableField::text("spec.serviceAccountName"),
    SelectableField::text("status.nominatedNodeName"),
    SelectableField::text("status.phase"),
    SelectableField::text("status.podIP"),
    SelectableField { label: "status.podIPs", ..SelectableField::text("status.podIP") },
];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        connection("attach", "PodAttachOptions", &["create", "get"]),
        Subresource { name: "binding", group: "", version: "v1", kind: "Binding", verbs: &["create"] },
        Subresource { name: "ephemeralcontainers", group: "", version: "", kind: "Pod", verbs: READ_AND_CHANGE },
        Subresource { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: &["create"] },
        connection("exec", "PodExecOptions", &["create", "get"]),
        Subresource { name: "log", group: "", version: "", kind: "Pod", verbs: &["get"] },
        connection("portforward", "PodPortForwardOptions", &["create", "get"]),
        connection("proxy", "PodProxyOptions", PROXY_VERBS),
        Subresource { name: "resize", group: "", version: "", kind: "Pod", verbs: READ_AND_CHANGE },
        Subresource { name: "status", group: "", version: "", kind: "Pod", verbs: READ_AND_CHANGE },
    ],
    parts: &[
        Part {
            name: "ephemeralcontainers",
            prepare: ephemeral_containers::prepare,
            check: ephemeral_containers::check,
        },
        Part { name: "resize", prepare: resize::prepare, check: resize::check },
    ],
    ty: &types::CORE_V1_POD,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Ready", "Containers that are ready, of all that keep running."),
        column("Status", "The phase of the pod, or what keeps it from its next phase."),
        column("Restarts", "How often containers were started again, and how long ago the last time was."),
        age_column(),
        wide("IP", "The first address of the pod."),
        wide("Node", "The node the pod is bound to."),
        wide("Nominated Node", "The node on which room is being made for the pod."),
        wide("Readiness Gates", "Readiness gates that are fulfilled, of all the pod has."),
    ],
    row: print::row,
    generation: Generation::Spec,
    returns_deleted: true,
    defaults,
    on_create,
    on_update: |new, _| sync_service_account(&mut new.body),
    on_status_update,
    check,
    check_update: update::check,
    check_status_update,
    grace,
    ..Kind::BASE
};

const fn connection(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group: "", version: "", kind, verbs }
}

fn defaults(pod: &mut Struct) {
    let spec = pod.struct_at("spec");
    pod_spec::defaults(spec);
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Node::as_list_mut).into_iter().flatten() {
            request_what_is_limited(container);
        }
    }
    if let Some(resources) = spec.get_mut("resources") {
        requests_from_limits(resources);
    }
    spec.set_default("enableServiceLinks", true);
    if spec.bool_at("hostNetwork") == Some(true) {
        open_ports_on_host(spec);
    }
    sync_service_account(pod);
    sync_addresses(pod);
}

/// A container that is limited in something and asks for nothing of it asks for as much.
fn request_what_is_limited(container: &mut Node) {
    if let Some(resources) = container.get_mut("resources") {
        requests_from_limits(resources);
    }
}

fn requests_from_limits(resources: &mut Node) {
    let Some(limits) = resources.get("limits").and_then(Node::as_map).cloned() else { return };
    let Some(resources) = resources.as_struct_mut() else { return };
    let Node::Map(requests) = resources.entry("requests") else { return };
    for (name, limit) in limits.iter() {
        if requests.get(name).is_none() {
            requests.insert(name, limit.clone());
        }
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

fn open_ports_on_host(spec: &mut Struct) {
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Node::as_list_mut).into_iter().flatten();
        for port in containers.filter_map(|container| container.get_mut("ports")?.as_list_mut()).flatten() {
            if let (None, Some(number)) = (port.i64_at("hostPort"), port.i64_at("containerPort")) {
                port.set("hostPort", number);
            }
        }
    }
}

/// `serviceAccount` is an old name of `serviceAccountName`; both are written with the same value.
fn sync_service_account(pod: &mut Struct) {
    let spec = pod.struct_at("spec");
    let name = match spec.str_at("serviceAccountName") {
        "" => spec.str_at("serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.set("serviceAccountName", name.as_str());
        spec.set("serviceAccount", name);
    }
}

/// `podIP` and `hostIP` are the first of `podIPs` and `hostIPs`.
fn sync_addresses(pod: &mut Struct) {
    let Some(status) = pod.get_mut("status").and_then(Node::as_struct_mut) else { return };
    for (one, many, item) in [("podIP", "podIPs", "ip"), ("hostIP", "hostIPs", "ip")] {
        let first = status.str_at(&format!("{many}.0.{item}")).to_owned();
        let single = status.str_at(one).to_owned();
        if !first.is_empty() {
            status.set(one, first);
        } else if !single.is_empty()
            && let Some(mut address) = status.new_item(many)
        {
            address.set(item, single);
            status.list_at(many).push(address.into());
        }
    }
}

fn on_create(pod: &mut Object) {
    sync_service_account(&mut pod.body);
    pod.set("status.phase", "Pending");
    let class = quality_of_service_class(pod);
    pod.set("status.qosClass", class);
    if !pod.body.items_at("spec.schedulingGates").is_empty() {
        let status = pod.body.struct_at("status");
        if let Some(mut condition) = status.new_item("conditions") {
            condition.set("type", "PodScheduled");
            condition.set("status", "False");
            condition.set("reason", "SchedulingGated");
            condition.set("message", "Scheduling is blocked due to non-empty scheduling gates");
            status.list_at("conditions").push(condition.into());
        }
    }
}

fn on_status_update(new: &mut Object, old: &Object) {
    if new.str_at("status.qosClass").is_empty() {
        let class = quality_of_service_class(old);
        new.set("status.qosClass", class);
    }
    sync_addresses(&mut new.body);
}

fn check(pod: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let Some(spec) = pod.at("spec").and_then(Node::as_struct) else {
        errors.required(&path.field("containers"), "");
        return;
    };
    pod_spec::check(spec, pod.metadata(), &path, errors);
    pod_template::check_annotations(pod.annotations().unwrap_or(&Map::default()), errors);
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let phase = new.str_at("status.phase");
    if !matches!(phase, "" | "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown") {
        let phases = &["Failed", "Pending", "Running", "Succeeded", "Unknown"];
        errors.not_supported(&path.field("phase"), phase, phases);
    }
    let class = |pod: &Object| pod.str_at("status.qosClass").to_owned();
    if !class(old).is_empty() && class(new) != class(old) {
        errors.invalid(&path.field("qosClass"), class(new), "field is immutable");
    }
    for (index, address) in new.body.items_at("status.podIPs").iter().enumerate() {
        let problems = crate::names::ip(address.str_at("ip"));
        errors.invalid_each(&path.field("podIPs").index(index), address.str_at("ip"), problems);
    }
}

/// A pod that no node knows, or that is over, needs no time to end.
fn grace(pod: &Object, requested: Option<i64>) -> i64 {
    let seconds = requested.or_else(|| pod.body.i64_at("spec.terminationGracePeriodSeconds")).unwrap_or(0);
    let is_over = matches!(pod.str_at("status.phase"), "Failed" | "Succeeded");
    if pod.str_at("spec.nodeName").is_empty() || is_over {
        return 0;
    }
    // Upstream's answer to a negative period: as soon as the node notices.
    if seconds < 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests;
