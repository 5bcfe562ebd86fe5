//! `Service`: one address for the pods that a selector selects. Addresses and node ports are given out by the API
//! server's allocator, after defaults and before validation.

use jiff::Timestamp;

use crate::kind::{Kind, PROXY_VERBS, READ_AND_CHANGE, SelectableField, Subresource, field_paths};
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::table::{Row, age_column, column, name_column, or_none, wide};

mod check;

const FIELDS: [SelectableField; 2] = [SelectableField::text("spec.clusterIP"), SelectableField::text("spec.type")];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "services",
    singular: "service",
    kind: "Service",
    short_names: &["svc"],
    categories: &["all"],
    subresources: &[
        Subresource { name: "proxy", group: "", version: "", kind: "ServiceProxyOptions", verbs: PROXY_VERBS },
        Subresource { name: "status", group: "", version: "", kind: "Service", verbs: READ_AND_CHANGE },
    ],
    ty: &types::CORE_V1_SERVICE,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Type", "How the service can be reached."),
        column("Cluster-IP", "The service's address within the cluster."),
        column("External-IP", "The service's address for the world."),
        column("Port(s)", "Ports and protocols, with the port on every node if there is one."),
        age_column(),
        wide("Selector", "Labels of the pods behind the service."),
    ],
    row,
    // Relaxed since 1.34: any DNS label will do, digits first included.
    name_rule: names::dns1123_label,
    create_on_update: true,
    returns_deleted: true,
    defaults,
    on_create,
    on_update,
    check: check::service,
    check_update: check::update,
    ..Kind::BASE
};

fn defaults(service: &mut Struct) {
    let spec = service.struct_at("spec");
    spec.set_default("sessionAffinity", "None");
    spec.set_default("type", "ClusterIP");
    match spec.str_at("sessionAffinity") {
        "ClientIP" => {
            spec.set_default("sessionAffinityConfig.clientIP.timeoutSeconds", 10800_i64);
        }
        _ => drop(spec.remove("sessionAffinityConfig")),
    }
    for port in spec.get_mut("ports").and_then(Node::as_list_mut).into_iter().flatten().filter_map(Node::as_struct_mut)
    {
        port.set_default("protocol", "TCP");
        let given = port.get("targetPort").is_some_and(|target| *target != Node::Int(0) && target.as_str() != Some(""));
        if !given {
            let number = port.i64_at("port").unwrap_or(0);
            port.set("targetPort", number);
        }
    }
    let kind = spec.str_at("type").to_owned();
    let from_outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || kind == "ClusterIP" && !spec.items_at("externalIPs").is_empty();
    if from_outside {
        spec.set_default("externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        spec.set_default("internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        spec.set_default("allocateLoadBalancerNodePorts", true);
    }
}

/// `clusterIP` is the first of `clusterIPs`, and the families are those of the addresses.
fn on_create(service: &mut Object) {
    let spec = service.body.struct_at("spec");
    if spec.str_at("type") == "ExternalName" {
        return;
    }
    let address = spec.str_at("clusterIP").to_owned();
    if spec.items_at("clusterIPs").is_empty() && !address.is_empty() {
        spec.set("clusterIPs", vec![address.as_str()]);
    }
    let dual = spec.items_at("ipFamilies").len() == 2 || spec.items_at("clusterIPs").len() == 2;
    spec.set_default("ipFamilyPolicy", if dual { "RequireDualStack" } else { "SingleStack" });
    if spec.items_at("ipFamilies").is_empty() {
        spec.set("ipFamilies", vec![if address.contains(':') { "IPv6" } else { "IPv4" }]);
    }
}

/// Fields that an allocator filled stay when the client leaves them out, as long as the type still has them.
fn on_update(new: &mut Object, old: &Object) {
    let new_kind = new.str_at("spec.type").to_owned();
    let spec = new.body.struct_at("spec");
    let Some(old) = old.at("spec").and_then(Node::as_struct) else { return };
    if new_kind == "ExternalName" {
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            spec.remove(field);
        }
        if old.str_at("type") != "ExternalName" && spec.str_at("clusterIP") == old.str_at("clusterIP") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        return;
    }
    if old.str_at("type") != "ExternalName" {
        keep_addresses(spec, old);
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if spec.get(field).is_none() {
                crate::kind::copy_field(spec, old, field);
            }
        }
    }
    if matches!(new_kind.as_str(), "NodePort" | "LoadBalancer") {
        keep_node_ports(spec, old);
    }
}

fn keep_addresses(spec: &mut Struct, old: &Struct) {
    match (spec.str_at("clusterIP"), spec.items_at("clusterIPs").is_empty()) {
        ("", true) => {
            crate::kind::copy_field(spec, old, "clusterIP");
            crate::kind::copy_field(spec, old, "clusterIPs");
        }
        (address, true) => {
            let address = address.to_owned();
            spec.set("clusterIPs", vec![address]);
        }
        ("", false) => {
            let first = spec.str_at("clusterIPs.0").to_owned();
            spec.set("clusterIP", first);
        }
        // A client that changes only the older field means both.
        (address, false) if address != old.str_at("clusterIP") && spec.get("clusterIPs") == old.get("clusterIPs") => {
            let address = address.to_owned();
            spec.set("clusterIPs", vec![address]);
        }
        _ => {}
    }
}

fn keep_node_ports(spec: &mut Struct, old: &Struct) {
    let same =
        |a: &Node, b: &Node| a.i64_at("port") == b.i64_at("port") && a.str_at("protocol") == b.str_at("protocol");
    for port in spec.get_mut("ports").and_then(Node::as_list_mut).into_iter().flatten() {
        let before = old.items_at("ports").iter().find(|before| same(before, port));
        if let (0, Some(number)) =
            (port.i64_at("nodePort").unwrap_or(0), before.and_then(|before| before.i64_at("nodePort")))
        {
            port.set("nodePort", number);
        }
    }
}

fn row(service: &Object, now: Timestamp) -> Row {
    let selector = service.at("spec.selector").and_then(Node::as_map).map(LabelSelector::from_labels);
    Row::of([
        service.name().into(),
        service.str_at("spec.type").into(),
        or_none(service.str_at("spec.clusterIP")),
        external(service).into(),
        ports(service.body.items_at("spec.ports")).into(),
        Row::age(service, now),
        or_none(&selector.map(|selector| selector.to_string()).unwrap_or_default()),
    ])
}

fn external(service: &Object) -> String {
    let own: Vec<&str> = service.body.items_at("spec.externalIPs").iter().filter_map(Node::as_str).collect();
    let ingress = service.body.items_at("status.loadBalancer.ingress").iter();
    let given: Vec<&str> = ingress
        .map(|ingress| match ingress.str_at("ip") {
            "" => ingress.str_at("hostname"),
            address => address,
        })
        .collect();
    match service.str_at("spec.type") {
        "ExternalName" => service.str_at("spec.externalName").to_owned(),
        "LoadBalancer" if own.is_empty() && given.is_empty() => "<pending>".to_owned(),
        "LoadBalancer" => [given, own].concat().join(","),
        _ if own.is_empty() => "<none>".to_owned(),
        _ => own.join(","),
    }
}

fn ports(ports: &[Node]) -> String {
    let one = |port: &Node| {
        let (number, protocol) = (port.i64_at("port").unwrap_or(0), port.str_at("protocol"));
        match port.i64_at("nodePort").unwrap_or(0) {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    if ports.is_empty() { "<none>".to_owned() } else { ports.iter().map(one).collect::<Vec<_>>().join(",") }
}

#[cfg(test)]
mod tests;
