//! `EndpointSlice`: some of the addresses behind a Service.

use jiff::Timestamp;

use crate::core::v1::endpoints::shorten;
use crate::core::v1::pod_spec::check_choice;
use crate::kind::{Generation, Kind};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 100;
const ADDRESSES_MAX: usize = 100;

/// The kind.
pub static KIND: Kind = Kind {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    singular: "endpointslice",
    kind: "EndpointSlice",
    ty: &types::DISCOVERY_V1_ENDPOINT_SLICE,
    columns: &[
        name_column(),
        column("AddressType", "What the addresses are."),
        column("Ports", "The first ports at every address."),
        column("Endpoints", "The first addresses."),
        age_column(),
    ],
    row,
    generation: Generation::Content,
    defaults,
    check,
    check_update: |new, old, errors| {
        check_immutable(new.at("addressType"), old.at("addressType"), &Path::Root.field("addressType"), errors);
    },
    ..Kind::BASE
};

fn defaults(slice: &mut Struct) {
    for port in slice.get_mut("ports").and_then(Node::as_list_mut).into_iter().flatten().filter_map(Node::as_struct_mut)
    {
        port.set_default("name", "");
        port.set_default("protocol", "TCP");
    }
}

fn row(slice: &Object, now: Timestamp) -> Row {
    let port = |port: &Node| match (port.str_at("name"), port.i64_at("port")) {
        (_, Some(number)) => number.to_string(),
        ("", None) => "*".to_owned(),
        (name, None) => name.to_owned(),
    };
    let ports: Vec<String> = slice.body.items_at("ports").iter().map(port).collect();
    let ports = if ports.is_empty() { "<unset>".to_owned() } else { shorten(&ports) };
    let endpoints = slice.body.items_at("endpoints");
    let addresses: Vec<String> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.items_at("addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    let addresses = if addresses.is_empty() { "<unset>".to_owned() } else { shorten(&addresses) };
    Row::of([
        slice.name().into(),
        slice.str_at("addressType").into(),
        ports.into(),
        addresses.into(),
        Row::age(slice, now),
    ])
}

fn check(slice: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let family = slice.str_at("addressType");
    check_choice(family, &["FQDN", "IPv4", "IPv6"], &root.field("addressType"), errors);
    let (endpoints, ports) = (slice.body.items_at("endpoints"), slice.body.items_at("ports"));
    if endpoints.len() > ENDPOINTS_MAX {
        errors.too_many(&root.field("endpoints"), endpoints.len(), ENDPOINTS_MAX);
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = root.field("endpoints");
        let path = path.index(index);
        let addresses = endpoint.items_at("addresses");
        let list = path.field("addresses");
        if addresses.is_empty() {
            errors.required(&list, "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            errors.too_many(&list, addresses.len(), ADDRESSES_MAX);
        }
        for (index, address) in addresses.iter().filter_map(Node::as_str).enumerate() {
            errors.invalid_each(&list.index(index), address, address_problems(family, address));
        }
        let node = endpoint.str_at("nodeName");
        if !node.is_empty() {
            errors.invalid_each(&path.field("nodeName"), node, names::dns1123_subdomain(node));
        }
    }
    check_ports(ports, &root.field("ports"), errors);
}

fn address_problems(family: &str, address: &str) -> Vec<String> {
    match family {
        "IPv4" if address.parse::<std::net::Ipv4Addr>().is_err() => vec!["must be an IPv4 address".to_owned()],
        "IPv6" if address.parse::<std::net::Ipv6Addr>().is_err() => vec!["must be an IPv6 address".to_owned()],
        "FQDN" => names::dns1123_subdomain(address.trim_end_matches('.')),
        _ => Vec::new(),
    }
}

fn check_ports(ports: &[Node], path: &Path<'_>, errors: &mut Errors) {
    if ports.len() > PORTS_MAX {
        errors.too_many(path, ports.len(), PORTS_MAX);
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = port.str_at("name");
        if !name.is_empty() {
            errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
        }
        if seen.contains(&name) {
            errors.duplicate(&path.field("name"), name);
        }
        seen.push(name);
        check_choice(port.str_at("protocol"), &["SCTP", "TCP", "UDP"], &path.field("protocol"), errors);
    }
}
