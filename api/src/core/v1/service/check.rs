//! Rules for Services.

use crate::core::v1::pod_spec::check_choice;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::validation::{Errors, Path, quoted};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(service: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let kind = service.str_at("spec.type");
    check_choice(kind, &TYPES, &path.field("type"), errors);
    check_choice(service.str_at("spec.sessionAffinity"), &["ClientIP", "None"], &path.field("sessionAffinity"), errors);
    crate::meta::check_labels(service.at("spec.selector").and_then(Node::as_map), &path.field("selector"), errors);
    check_ports(service, kind, &path.field("ports"), errors);
    check_addresses(service, kind, &path, errors);
    if kind == "ExternalName" {
        let name = service.str_at("spec.externalName").trim_end_matches('.');
        if name.is_empty() {
            errors.required(&path.field("externalName"), "");
        } else {
            errors.invalid_each(&path.field("externalName"), name, names::dns1123_subdomain(name));
        }
    }
    check_policies(service, kind, &path, errors);
}

fn check_policies(service: &Object, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let outside = service.str_at("spec.externalTrafficPolicy");
    if !outside.is_empty() && !matches!(outside, "Cluster" | "Local") {
        errors.not_supported(&path.field("externalTrafficPolicy"), outside, &["Cluster", "Local"]);
    }
    let inside = service.str_at("spec.internalTrafficPolicy");
    if inside.is_empty() && kind != "ExternalName" {
        errors.required(&path.field("internalTrafficPolicy"), "");
    } else if !matches!(inside, "" | "Cluster" | "Local") {
        errors.not_supported(&path.field("internalTrafficPolicy"), inside, &["Cluster", "Local"]);
    }
    if let Some(seconds) = service.body.i64_at("spec.sessionAffinityConfig.clientIP.timeoutSeconds")
        && !(1..=86400).contains(&seconds)
    {
        let path = path.field("sessionAffinityConfig");
        let path = path.field("clientIP");
        errors.invalid(&path.field("timeoutSeconds"), seconds, "must be greater than 0 and less than 86400");
    }
    for (index, range) in service.body.items_at("spec.externalIPs").iter().filter_map(Node::as_str).enumerate() {
        errors.invalid_each(&path.field("externalIPs").index(index), range, names::ip(range));
    }
}

fn check_ports(service: &Object, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let ports = service.body.items_at("spec.ports");
    if ports.is_empty() && kind != "ExternalName" && service.str_at("spec.clusterIP") != "None" {
        errors.required(path, "");
    }
    let mut port_names: Vec<&str> = Vec::new();
    let mut taken: Vec<(i64, &str)> = Vec::new();
    let mut node_ports: Vec<(i64, &str)> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let (name, protocol) = (port.str_at("name"), port.str_at("protocol"));
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(&path.field("name"), "");
            }
        } else if port_names.contains(&name) {
            errors.duplicate(&path.field("name"), name);
        } else {
            errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
            port_names.push(name);
        }
        let number = port.i64_at("port").unwrap_or(0);
        for problem in names::port_number(number) {
            errors.invalid(&path.field("port"), number, problem);
        }
        check_choice(protocol, &["SCTP", "TCP", "UDP"], &path.field("protocol"), errors);
        match port.get("targetPort") {
            Some(Node::Str(name)) => errors.invalid_each(&path.field("targetPort"), name, names::port_name(name)),
            target => {
                let target = target.and_then(Node::as_i64).unwrap_or(0);
                for problem in names::port_number(target) {
                    errors.invalid(&path.field("targetPort"), target, problem);
                }
            }
        }
        if taken.contains(&(number, protocol)) {
            errors.duplicate(&path, format!("{number}/{protocol}"));
        }
        taken.push((number, protocol));
        let node_port = port.i64_at("nodePort").unwrap_or(0);
        if node_port != 0 {
            if !matches!(kind, "NodePort" | "LoadBalancer") {
                errors.forbidden(&path.field("nodePort"), format!("may not be used when `type` is {}", quoted(kind)));
            }
            if node_ports.contains(&(node_port, protocol)) {
                errors.duplicate(&path.field("nodePort"), node_port);
            }
            node_ports.push((node_port, protocol));
        }
    }
}

fn check_addresses(service: &Object, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let address = service.str_at("spec.clusterIP");
    let addresses = service.body.items_at("spec.clusterIPs");
    let list = path.field("clusterIPs");
    if kind == "ExternalName" {
        if !address.is_empty() {
            errors.forbidden(&path.field("clusterIP"), "may not be set when `type` is \"ExternalName\"");
        }
        return;
    }
    if address == "None" && kind != "ClusterIP" {
        errors.invalid(&list.index(0), "None", format!("may not be set to 'None' for {kind} services"));
    }
    if addresses.len() > 2 {
        errors.invalid(&list, addresses.len(), "may only hold up to 2 values");
    }
    for (index, address) in addresses.iter().filter_map(Node::as_str).enumerate() {
        if address != "None" || index > 0 {
            errors.invalid_each(&list.index(index), address, names::ip(address));
        }
    }
    if let Some(first) = addresses.first().and_then(Node::as_str)
        && first != address
    {
        errors.invalid(&list, first, "first value must match `clusterIP`");
    }
    for (index, family) in service.body.items_at("spec.ipFamilies").iter().filter_map(Node::as_str).enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            errors.not_supported(&path.field("ipFamilies").index(index), family, &["IPv4", "IPv6"]);
        }
    }
}

/// An address that was given out stays until the type has no use for it.
pub(super) fn update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let list = path.field("clusterIPs");
    if new.str_at("spec.type") == "ExternalName" || old.str_at("spec.type") == "ExternalName" {
        return;
    }
    let before = old.body.items_at("spec.clusterIPs");
    if let (Some(was), now) = (before.first().and_then(Node::as_str), new.str_at("spec.clusterIPs.0"))
        && was != now
    {
        let shown = crate::meta::shown(new.at("spec.clusterIPs"));
        errors.invalid(&list.index(0), shown, "may not change once set");
    }
}
