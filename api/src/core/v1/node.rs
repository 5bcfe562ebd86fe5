//! `Node`: a machine that runs pods.

use jiff::Timestamp;

use crate::kind::{Kind, PROXY_VERBS, READ_AND_CHANGE, Scope, SelectableField, Subresource, field_paths};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

const FIELDS: [SelectableField; 1] = [SelectableField::bool("spec.unschedulable")];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "nodes",
    singular: "node",
    kind: "Node",
    short_names: &["no"],
    scope: Scope::Cluster,
    subresources: &[
        Subresource { name: "proxy", group: "", version: "", kind: "NodeProxyOptions", verbs: PROXY_VERBS },
        Subresource { name: "status", group: "", version: "", kind: "Node", verbs: READ_AND_CHANGE },
    ],
    ty: &types::CORE_V1_NODE,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Status", "Whether the node can take pods."),
        column("Roles", "What the node is for, from its labels."),
        age_column(),
        column("Version", "The version of the node's agent."),
        wide("Internal-IP", "The node's address within the cluster."),
        wide("External-IP", "The node's address for the world."),
        wide("OS-Image", "The operating system of the node."),
        wide("Kernel-Version", "The kernel of the node."),
        wide("Container-Runtime", "What runs the containers, and its version."),
    ],
    row,
    // An agent registers its node with what it knows of it.
    created_with_status: true,
    defaults,
    check,
    check_update,
    ..Kind::BASE
};

fn defaults(node: &mut Struct) {
    let Some(status) = node.get_mut("status").and_then(Node::as_struct_mut) else { return };
    if let (None, Some(capacity)) = (status.get("allocatable"), status.get("capacity").cloned()) {
        status.set("allocatable", capacity);
    }
}

fn row(node: &Object, now: Timestamp) -> Row {
    let text = |path: &str| -> Cell {
        match node.str_at(path) {
            "" => "<unknown>".into(),
            text => text.into(),
        }
    };
    let address = |kind: &str| -> Cell {
        let addresses = node.body.items_at("status.addresses");
        let found = addresses.iter().find(|address| address.str_at("type") == kind);
        found.map_or("<none>", |address| address.str_at("address")).into()
    };
    Row::of([
        node.name().into(),
        status(node).into(),
        roles(node).into(),
        Row::age(node, now),
        text("status.nodeInfo.kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        text("status.nodeInfo.osImage"),
        text("status.nodeInfo.kernelVersion"),
        text("status.nodeInfo.containerRuntimeVersion"),
    ])
}

fn status(node: &Object) -> String {
    let conditions = node.body.items_at("status.conditions");
    let ready = conditions.iter().find(|condition| condition.str_at("type") == "Ready");
    let mut words = match ready.map(|condition| condition.str_at("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.body.bool_at("spec.unschedulable") == Some(true) {
        words.push_str(",SchedulingDisabled");
    }
    words
}

fn roles(node: &Object) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node.labels().into_iter().flat_map(Map::iter) {
        let role = match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => role,
            None if key == ROLE_LABEL => value.as_str().unwrap_or(""),
            None => "",
        };
        if !role.is_empty() && !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles.sort_unstable();
    crate::table::list_or_none(roles)
}

fn check(node: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    check_taints(node.body.items_at("spec.taints"), &path.field("taints"), errors);
    let ranges = node.body.items_at("spec.podCIDRs");
    if ranges.len() > 2 {
        errors.invalid(&path.field("podCIDRs"), ranges.len(), "may specify no more than one CIDR for each IP family");
    }
    for (index, range) in ranges.iter().filter_map(Node::as_str).enumerate() {
        if !is_cidr(range) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.invalid(&path.field("podCIDRs").index(index), range, detail);
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let max = if address.is_ipv4() { 32 } else { 128 };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

fn check_taints(taints: &[Node], path: &Path<'_>, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (taint.str_at("key"), taint.str_at("value"), taint.str_at("effect"));
        errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
        errors.invalid_each(&path.field("value"), value, names::label_value(value));
        if effect.is_empty() {
            errors.required(&path.field("effect"), "");
        } else if !EFFECTS.contains(&effect) {
            errors.not_supported(&path.field("effect"), effect, &EFFECTS);
        }
        if seen.contains(&(key, effect)) {
            errors.duplicate(&path, crate::meta::shown(Some(taint)));
        }
        seen.push((key, effect));
    }
}

/// An address range and a provider id are given once.
fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let ranges = |node: &Object| node.at("spec.podCIDRs").cloned();
    if let Some(before) = ranges(old).filter(|before| ranges(new).as_ref() != Some(before)) {
        let detail = format!("node updates may not change podCIDR except from \"\" to valid, was {}", text(&before));
        errors.forbidden(&path.field("podCIDRs"), detail);
    }
    if !old.str_at("spec.providerID").is_empty() {
        check_immutable(new.at("spec.providerID"), old.at("spec.providerID"), &path.field("providerID"), errors);
    }
}

fn text(node: &Node) -> String {
    crate::meta::shown(Some(node)).to_string()
}
