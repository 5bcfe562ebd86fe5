//! `Endpoints`: the older form of EndpointSlice, kept for clients that read it.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// Addresses that are shown before the rest is counted.
const SHOWN_MAX: usize = 3;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "endpoints",
    singular: "endpoints",
    kind: "Endpoints",
    short_names: &["ep"],
    ty: &types::CORE_V1_ENDPOINTS,
    columns: &[name_column(), column("Endpoints", "The first addresses with their ports."), age_column()],
    row,
    create_on_update: true,
    deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    defaults,
    check,
    ..Kind::BASE
};

fn defaults(endpoints: &mut Struct) {
    let subsets = endpoints.get_mut("subsets").and_then(Node::as_list_mut).into_iter().flatten();
    for port in subsets.filter_map(|subset| subset.get_mut("ports")?.as_list_mut()).flatten() {
        if let Some(port) = port.as_struct_mut() {
            port.set_default("protocol", "TCP");
        }
    }
}

fn row(endpoints: &Object, now: Timestamp) -> Row {
    let mut all: Vec<String> = Vec::new();
    for subset in endpoints.body.items_at("subsets") {
        let addresses = subset.items_at("addresses");
        let ports = subset.items_at("ports");
        for address in addresses {
            let ip = address.str_at("ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            let bracketed = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
            all.extend(ports.iter().map(|port| format!("{bracketed}:{}", port.i64_at("port").unwrap_or(0))));
        }
    }
    Row::of([endpoints.name().into(), shorten(&all).into(), Row::age(endpoints, now)])
}

/// The first few of a list, and how many more there are.
pub(crate) fn shorten(all: &[String]) -> String {
    match all.len() {
        0 => "<none>".to_owned(),
        count if count <= SHOWN_MAX => all.join(","),
        count => format!("{} + {} more...", all[..SHOWN_MAX].join(","), count - SHOWN_MAX),
    }
}

fn check(endpoints: &Object, errors: &mut Errors) {
    let root = Path::Root.field("subsets");
    for (index, subset) in endpoints.body.items_at("subsets").iter().enumerate() {
        let path = root.index(index);
        if subset.items_at("addresses").is_empty() && subset.items_at("notReadyAddresses").is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            let path = path.field(list);
            for (index, address) in subset.items_at(list).iter().enumerate() {
                let ip = address.str_at("ip");
                errors.invalid_each(&path.index(index).field("ip"), ip, names::ip(ip));
            }
        }
        let path = path.field("ports");
        let ports = subset.items_at("ports");
        for (index, port) in ports.iter().enumerate() {
            let path = path.index(index);
            let (name, number) = (port.str_at("name"), port.i64_at("port").unwrap_or(0));
            if name.is_empty() && ports.len() > 1 {
                errors.required(&path.field("name"), "");
            } else if !name.is_empty() {
                errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
            }
            for problem in names::port_number(number) {
                errors.invalid(&path.field("port"), number, problem);
            }
        }
    }
}
