//! Direct routes to the other nodes' pod CIDRs, derived from the Node objects.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::RouteMessageBuilder;

use super::cidr::Cidr;
use super::netlink::Host;
use super::{NetworkError, ROUTE_PROTOCOL, is_errno, routable};

/// Where the pods of other nodes are: their CIDR and the address of their node.
pub(crate) type Peers = BTreeMap<Cidr, IpAddr>;

/// What has to change in the routing table. Pure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RoutePlan {
    pub(crate) add: Peers,
    pub(crate) remove: Peers,
}

/// Compares the routes that should stand with those that do. A changed gateway is an `add`, which replaces.
pub(crate) fn plan(desired: &Peers, present: &Peers) -> RoutePlan {
    RoutePlan {
        add: desired.iter().filter(|(cidr, via)| present.get(cidr) != Some(via)).map(|(c, v)| (*c, *v)).collect(),
        remove: present.iter().filter(|(cidr, _)| !desired.contains_key(cidr)).map(|(c, v)| (*c, *v)).collect(),
    }
}

/// Brings the routing table to `desired` and returns the peers whose route the kernel refused, with its reason.
pub(crate) async fn sync(host: &Host, desired: &Peers) -> Result<Vec<(Cidr, String)>, NetworkError> {
    let present = present(host).await?;
    let plan = plan(desired, &present);
    let mut refused = Vec::new();
    for (cidr, via) in plan.remove {
        match host.handle().route().del(peer_route(cidr, via)?).execute().await {
            Err(error) if !is_errno(&error, nix::errno::Errno::ESRCH) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    for (cidr, via) in plan.add {
        if let Err(error) = host.handle().route().add(peer_route(cidr, via)?).replace().execute().await {
            refused.push((cidr, format!("via {via}: {error}")));
        }
    }
    Ok(refused)
}

/// Answers "unreachable" for addresses of our own range that no pod has. Without it such packets would leave over the
/// default route and a client of a dead pod would wait for a timeout instead of failing at once.
pub(crate) async fn refuse_unused(host: &Host, cidr: Cidr) -> Result<(), NetworkError> {
    let route = routable(RouteMessageBuilder::<IpAddr>::new().destination_prefix(cidr.network(), cidr.prefix()))?
        .kind(RouteType::Unreachable)
        .protocol(ROUTE_PROTOCOL)
        .build();
    Ok(host.handle().route().add(route).replace().execute().await?)
}

/// Removes every route this agent has set, to peers and for its own range.
pub(crate) async fn remove_all(host: &Host) -> Result<(), NetworkError> {
    for route in own_routes(host).await? {
        match host.handle().route().del(route).execute().await {
            Err(error) if !is_errno(&error, nix::errno::Errno::ESRCH) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn peer_route(cidr: Cidr, via: IpAddr) -> Result<RouteMessage, NetworkError> {
    let route = routable(RouteMessageBuilder::<IpAddr>::new().destination_prefix(cidr.network(), cidr.prefix()))?;
    Ok(routable(route.gateway(via))?.protocol(ROUTE_PROTOCOL).build())
}

async fn own_routes(host: &Host) -> Result<Vec<RouteMessage>, NetworkError> {
    let mut own = Vec::new();
    let families =
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<std::net::Ipv6Addr>::new().build()];
    for family in families {
        let routes = host.list(|handle| handle.route().get(family).execute()).await?;
        own.extend(routes.into_iter().filter(|route| route.header.protocol == ROUTE_PROTOCOL));
    }
    Ok(own)
}

async fn present(host: &Host) -> Result<Peers, NetworkError> {
    Ok(own_routes(host).await?.iter().filter_map(peer_of).collect())
}

/// The peer of a route with a gateway; routes to own pods have none.
fn peer_of(route: &RouteMessage) -> Option<(Cidr, IpAddr)> {
    let address = |found: &RouteAddress| match found {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    };
    let mut destination = None;
    let mut gateway = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(found) => destination = address(found),
            RouteAttribute::Gateway(found) => gateway = address(found),
            _ => {}
        }
    }
    let cidr = format!("{}/{}", destination?, route.header.destination_prefix_length).parse().ok()?;
    Some((cidr, gateway?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(list: &[(&str, &str)]) -> Peers {
        list.iter().map(|(cidr, via)| (cidr.parse().unwrap(), via.parse().unwrap())).collect()
    }

    #[test]
    fn plans_only_differences() {
        let one = ("10.244.1.0/24", "192.168.0.1");
        let moved = ("10.244.1.0/24", "192.168.0.9");
        let two = ("10.244.2.0/24", "192.168.0.2");
        for (desired, present, add, remove) in [
            (vec![one], vec![], vec![one], vec![]),
            (vec![one], vec![one], vec![], vec![]),
            (vec![moved], vec![one], vec![moved], vec![]),
            (vec![one], vec![one, two], vec![], vec![two]),
        ] {
            let plan = plan(&peers(&desired), &peers(&present));
            assert_eq!(plan, RoutePlan { add: peers(&add), remove: peers(&remove) });
        }
    }
}
