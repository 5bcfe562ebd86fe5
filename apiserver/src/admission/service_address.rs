//! Addresses and node ports of Services: chosen here, claimed in the transaction that writes the Service.

use api::{
    Node, Object,
    status::Status,
    validation::{Errors, Path, Value},
};

use super::{Change, Operation};
use crate::{cidr::Cidr, claims, error::Result};

/// Random picks before the range is walked through.
const PICKS: usize = 64;

pub(super) fn admit(change: &Change<'_>, service: &mut Object) -> Result<()> {
    if !change.is("", "services") || change.operation == Operation::Delete {
        return Ok(());
    }
    let external = service.str_at("spec.type") == "ExternalName";
    if external {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            service.body.struct_at("spec").remove(field);
        }
    } else {
        addresses(change, service)?;
    }
    ports(change, service, !external)
}

/// Gives the Service one address of each family it wants.
fn addresses(change: &Change<'_>, service: &mut Object) -> Result<()> {
    if let Some(old) = change.old {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let path = format!("spec.{field}");
            if service.at(&path).is_none_or(Node::is_zero)
                && let Some(value) = old.at(&path)
            {
                service.set(&path, value.clone());
            }
        }
    }
    let first = service.str_at("spec.clusterIP").to_owned();
    let mut ips: Vec<String> =
        service.body.items_at("spec.clusterIPs").iter().filter_map(Node::as_str).map(str::to_owned).collect();
    if ips.is_empty() && !first.is_empty() {
        ips.push(first);
    }
    let ranges = families(change, service);
    service.set("spec.ipFamilies", ranges.iter().map(|range| family(range)).collect::<Vec<_>>());
    if service.str_at("spec.ipFamilyPolicy").is_empty() {
        service.set("spec.ipFamilyPolicy", "SingleStack");
    }
    if ips.first().is_none_or(|ip| ip != "None") {
        for range in ranges.iter().skip(ips.len()) {
            ips.push(free_address(change, range)?);
        }
        check(change, service, &ips)?;
    }
    service.set("spec.clusterIP", ips.first().map(String::as_str).unwrap_or_default());
    service.set("spec.clusterIPs", ips);
    Ok(())
}

/// The ranges the Service gets addresses from, in its own order of families.
fn families(change: &Change<'_>, service: &Object) -> Vec<Cidr> {
    let ranges = &change.config.service_cidrs;
    let asked = service.body.items_at("spec.ipFamilies").iter().filter_map(Node::as_str);
    let mut chosen: Vec<Cidr> =
        asked.filter_map(|asked| ranges.iter().find(|range| family(range) == asked)).copied().collect();
    let both = matches!(service.str_at("spec.ipFamilyPolicy"), "PreferDualStack" | "RequireDualStack");
    for range in ranges {
        let another = chosen.iter().all(|own| own.is_ipv4() != range.is_ipv4());
        if chosen.is_empty() || (both && another) {
            chosen.push(*range);
        }
    }
    chosen
}

fn family(range: &Cidr) -> &'static str {
    if range.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn free_address(change: &Change<'_>, range: &Cidr) -> Result<String> {
    let view = change.storage.view();
    let free = |place: u128| {
        let address = range.nth(place)?.to_string();
        view.get(claims::address(&address).as_bytes()).is_none().then_some(address)
    };
    // The first address names the range, the second is the API server's; in IPv4 the last one is broadcast.
    let last = range.size() - u128::from(range.is_ipv4());
    if last <= 2 {
        return Err(Status::internal(format!("service address range {range} is too small")).into());
    }
    let picked = (0..PICKS).find_map(|_| free(change.config.surroundings.pick(2..last)));
    picked
        .or_else(|| (2..last).take(1 << 20).find_map(free))
        .ok_or_else(|| Status::internal(format!("failed to allocate a serviceIP: range {range} is full")).into())
}

/// Addresses a client chose must be in a range.
fn check(change: &Change<'_>, service: &Object, ips: &[String]) -> Result<()> {
    let mut errors = Errors::default();
    let spec = Path::Root.field("spec");
    for (at, ip) in ips.iter().enumerate() {
        let inside = ip.parse().is_ok_and(|ip| change.config.service_cidrs.iter().any(|range| range.contains(ip)));
        if !inside {
            let ranges: Vec<String> = change.config.service_cidrs.iter().map(Cidr::to_string).collect();
            let detail = format!("the provided IP is not in the valid range: {}", ranges.join(", "));
            errors.invalid(&spec.field("clusterIPs").index(at), ip.as_str(), detail);
        }
    }
    refuse(change, service, &errors)
}

/// Gives every port that needs one a node port, and takes away those that are no longer needed.
fn ports(change: &Change<'_>, service: &mut Object, internal: bool) -> Result<()> {
    let kind = service.str_at("spec.type").to_owned();
    let allocate = service.body.bool_at("spec.allocateLoadBalancerNodePorts").unwrap_or(true);
    let wanted = internal && (kind == "NodePort" || (kind == "LoadBalancer" && allocate));
    let keeps = internal && matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    let old: Vec<Node> = change.old.map(|old| old.body.items_at("spec.ports").to_vec()).unwrap_or_default();
    let view = change.storage.view();
    let mut used: Vec<i64> = Vec::new();
    if service.body.items_at("spec.ports").is_empty() {
        return Ok(());
    }
    let mut errors = Errors::default();
    let list = Path::Root.field("spec");
    let list = list.field("ports");
    for (at, port) in service.body.list_at("spec.ports").iter_mut().enumerate() {
        let same = |other: &&Node| {
            other.i64_at("port") == port.i64_at("port") && other.str_at("protocol") == port.str_at("protocol")
        };
        let before = old.iter().find(same).and_then(|port| port.i64_at("nodePort")).unwrap_or_default();
        let mut number = port.i64_at("nodePort").unwrap_or_default();
        if !keeps && number == before {
            number = 0;
        } else if keeps && number == 0 {
            number = before;
        }
        if wanted && number == 0 {
            let taken = |port: &i64| used.contains(port) || view.get(claims::node_port(*port).as_bytes()).is_some();
            number = free_port(change, taken).unwrap_or_default();
        }
        let range = &change.config.node_ports;
        if number != 0 && !u16::try_from(number).is_ok_and(|number| range.contains(&number)) {
            let path = list.index(at);
            let detail = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.start(),
                range.end()
            );
            errors.invalid(&path.field("nodePort"), Value::text(number), detail);
        }
        used.push(number);
        match number {
            0 => drop(port.remove("nodePort")),
            _ => port.set("nodePort", number),
        }
    }
    refuse(change, service, &errors)
}

fn free_port(change: &Change<'_>, taken: impl Fn(&i64) -> bool) -> Option<i64> {
    let range = change.config.node_ports.clone();
    let width = u64::from(range.end().saturating_sub(*range.start())) + 1;
    let pick =
        || i64::from(*range.start()) + i64::try_from(change.config.surroundings.random() % width).unwrap_or_default();
    let picked = (0..PICKS).map(|_| pick()).find(|port| !taken(port));
    picked.or_else(|| range.clone().map(i64::from).find(|port| !taken(port)))
}

fn refuse(change: &Change<'_>, service: &Object, errors: &Errors) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(change.kind.grouped_kind(), service.name(), errors).into())
}
