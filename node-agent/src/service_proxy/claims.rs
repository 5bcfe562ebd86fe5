//! Which Service has a place that several claim.
//!
//! Who may write a Service chooses its external addresses freely. So these come last: they take nothing from an address that
//! the cluster gave to a Service, from a node port, or from the API servers and the agents themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::frontends::{Backends, Frontend, Protocol, Proxied};

/// By what right a Service is reached somewhere, the strongest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// The cluster gave it the address.
    #[default]
    Address,
    /// The cluster gave it the port of every node.
    NodePort,
    /// Somebody wrote the address down.
    External,
}

/// Addresses and TCP ports of the API servers and of this agent: whoever led them elsewhere would have the node.
pub(crate) type Reserved = BTreeSet<(Ipv4Addr, u16)>;

/// Who answers at each place. Of equal claims the first has it.
pub(crate) fn settle<'a>(
    services: impl Iterator<Item = &'a Proxied> + Clone,
    reserved: &Reserved,
) -> BTreeMap<Frontend, &'a Backends> {
    let given: BTreeSet<Ipv4Addr> = services.clone().flat_map(|service| service.addresses.iter().copied()).collect();
    let is_barred = |frontend: &Frontend| {
        let is_reserved = frontend.protocol == Protocol::TCP && reserved.contains(&(frontend.address, frontend.port));
        is_reserved || given.contains(&frontend.address)
    };
    let mut places = BTreeMap::new();
    for claim in [Claim::Address, Claim::NodePort, Claim::External] {
        let frontends = services.clone().flat_map(|service| &service.frontends);
        for (frontend, backends) in frontends.filter(|(_, backends)| backends.claim == claim) {
            if claim != Claim::External || !is_barred(frontend) {
                places.entry(*frontend).or_insert(backends);
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(address: Option<[u8; 4]>, at: ([u8; 4], u16), claim: Claim, endpoint: u8) -> Proxied {
        let frontend = Frontend { address: at.0.into(), protocol: Protocol::TCP, port: at.1 };
        let endpoints = [([10, 244, 0, endpoint].into(), 80)].into();
        let backends = Backends { endpoints, claim, ..Backends::default() };
        Proxied {
            frontends: [(frontend, backends)].into(),
            addresses: address.into_iter().map(Ipv4Addr::from).collect(),
            ..Proxied::default()
        }
    }

    #[test]
    fn addresses_that_somebody_wrote_down_take_nothing_away() {
        const CLUSTER: [u8; 4] = [10, 96, 0, 1];
        const NODE: [u8; 4] = [192, 168, 77, 1];
        const MASTER: [u8; 4] = [192, 168, 77, 9];
        const ELSEWHERE: [u8; 4] = [203, 0, 113, 7];
        let reserved = [(Ipv4Addr::from(MASTER), 6443)].into();
        let cluster = service(Some(CLUSTER), (CLUSTER, 443), Claim::Address, 1);
        let node_port = service(None, (NODE, 30080), Claim::NodePort, 2);
        for (at, taken) in [
            ((CLUSTER, 443), false),
            ((CLUSTER, 8443), false),
            ((NODE, 30080), false),
            ((MASTER, 6443), false),
            ((NODE, 80), true),
            ((MASTER, 80), true),
            ((ELSEWHERE, 443), true),
        ] {
            let external = service(None, at, Claim::External, 9);
            // It comes first, as one of a namespace early in the alphabet does.
            let services = [external, cluster.clone(), node_port.clone()];
            let places = settle(services.iter(), &reserved);
            let theirs = places.values().filter(|backends| backends.claim == Claim::External).count();
            assert_eq!((theirs == 1, places.len()), (taken, 2 + theirs), "{at:?}");
        }
    }

    #[test]
    fn of_equal_claims_the_first_has_the_place() {
        let at = ([10, 96, 0, 7], 80);
        let both = [service(None, at, Claim::Address, 1), service(None, at, Claim::Address, 2)];
        let places = settle(both.iter(), &Reserved::new());
        assert_eq!(places.into_values().collect::<Vec<_>>(), both[0].frontends.values().collect::<Vec<_>>());
    }
}
