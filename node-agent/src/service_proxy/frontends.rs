//! What a Service means on this node: where it is reached, and who answers there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};

use super::claims::Claim;
use crate::config::Config;

/// The node as a place of endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) node: String,
    /// Node ports are open at this address; `None`: it has none of IPv4.
    pub(crate) address: Option<Ipv4Addr>,
    /// Where the agent listens itself.
    pub(crate) kubelet_port: u16,
}

impl Place {
    pub(crate) fn of(config: &Config) -> Self {
        let address = match config.node_ip {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        Self { node: config.node_name.clone(), address, kubelet_port: config.listen.port() }
    }
}

/// A transport protocol that Services may have, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Protocol(pub(crate) u8);

impl Protocol {
    pub(crate) const TCP: Self = Self(6);
    pub(crate) const UDP: Self = Self(17);
    const SCTP: Self = Self(132);

    fn of(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("TCP") {
            "TCP" => Some(Self::TCP),
            "UDP" => Some(Self::UDP),
            "SCTP" => Some(Self::SCTP),
            _ => None,
        }
    }
}

/// Where a port of a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frontend {
    pub(crate) address: Ipv4Addr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// Who answers at a frontend, and how they are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backends {
    /// Addresses and ports; nobody listens when there are none.
    pub(crate) endpoints: BTreeSet<(Ipv4Addr, u16)>,
    /// Clients come from outside, and the answer must come back through this node.
    pub(crate) masquerade: bool,
    /// A client keeps its endpoint for so many seconds.
    pub(crate) sticky_seconds: Option<u32>,
    /// By what right they are reached there.
    pub(crate) claim: Claim,
}

/// All that a Service means on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// Where it is reached.
    pub(crate) frontends: BTreeMap<Frontend, Backends>,
    /// Addresses that are its alone: nobody listens at other ports of them.
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    /// Endpoints that may be on this node, and then reach themselves through the Service.
    pub(crate) near: BTreeSet<Ipv4Addr>,
    /// Endpoints that are no pods: their machines may know no way back to a pod.
    pub(crate) outside: BTreeSet<Ipv4Addr>,
}

/// An endpoint of one port of a Service.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: Ipv4Addr,
    port: u16,
    ready: bool,
    /// On its way out, but still answering.
    lingers: bool,
    is_here: bool,
}

/// Reads a Service and its slices.
pub(crate) fn of<'a>(service: &Service, slices: impl Iterator<Item = &'a EndpointSlice>, place: &Place) -> Proxied {
    let mut proxied = Proxied::default();
    let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName")) else {
        return proxied;
    };
    proxied.addresses = cluster_addresses(spec);
    if proxied.addresses.is_empty() {
        return proxied;
    }
    let slices: Vec<&EndpointSlice> = slices.filter(|slice| slice.address_type == "IPv4").collect();
    let (near, outside) = kinds_of_endpoints(&slices, place);
    (proxied.near, proxied.outside) = (near, outside);
    let internal_is_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let external_is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let sticky_seconds = sticky_seconds(spec);
    for port in spec.ports.iter().flatten() {
        let Some((protocol, number)) = Protocol::of(port.protocol.as_deref()).zip(port_number(port.port)) else {
            continue;
        };
        let candidates = candidates(&slices, port, protocol, place);
        let mut at = |address: Ipv4Addr, port: u16, claim: Claim| {
            let local = if claim == Claim::Address { internal_is_local } else { external_is_local };
            let masquerade = claim != Claim::Address && !local;
            let backends = Backends { endpoints: usable(&candidates, local), masquerade, sticky_seconds, claim };
            proxied.frontends.entry(Frontend { address, protocol, port }).or_insert(backends);
        };
        for address in cluster_addresses(spec) {
            at(address, number, Claim::Address);
        }
        if let Some((address, node_port)) = place.address.zip(port.node_port.and_then(port_number)) {
            at(address, node_port, Claim::NodePort);
        }
        for address in external_addresses(service, spec) {
            at(address, number, Claim::External);
        }
    }
    proxied
}

fn cluster_addresses(spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let listed = spec.cluster_ips.iter().flatten().map(String::as_str);
    listed.chain(spec.cluster_ip.as_deref()).filter_map(|address| address.parse().ok()).collect()
}

/// Addresses that lead to a node by somebody else's doing.
fn external_addresses(service: &Service, spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    // A balancer that passes connections on by itself is not gone around.
    let ingress = balancer
        .and_then(|balancer| balancer.ingress.as_ref())
        .into_iter()
        .flatten()
        .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.as_deref());
    let by_hand = spec.external_ips.iter().flatten().map(String::as_str);
    by_hand.chain(ingress).filter_map(|address| address.parse().ok()).filter(may_lead_to_a_node).collect()
}

/// Connections to the others stay on a machine or a link, or are no connections.
fn may_lead_to_a_node(address: &Ipv4Addr) -> bool {
    let stays = address.is_loopback() || address.is_link_local() || address.is_unspecified();
    !(stays || address.is_multicast() || address.is_broadcast())
}

fn sticky_seconds(spec: &ServiceSpec) -> Option<u32> {
    const DEFAULT: u32 = 10_800;
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client| client.timeout_seconds).and_then(|seconds| u32::try_from(seconds).ok());
    (spec.session_affinity.as_deref() == Some("ClientIP")).then_some(seconds.unwrap_or(DEFAULT))
}

/// A number from 1 on.
fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

fn candidates(
    slices: &[&EndpointSlice],
    port: &ServicePort,
    protocol: Protocol,
    place: &Place,
) -> BTreeMap<(Ipv4Addr, u16), Candidate> {
    let name = port.name.as_deref().unwrap_or_default();
    let mut candidates = BTreeMap::new();
    for slice in slices {
        let is_this = |port: &&EndpointPort| {
            port.name.as_deref().unwrap_or_default() == name && Protocol::of(port.protocol.as_deref()) == Some(protocol)
        };
        let Some(port) = slice.ports.iter().flatten().find(is_this).and_then(|port| port_number(port.port?)) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            let lingers = conditions.serving.unwrap_or(ready) && conditions.terminating.unwrap_or(false);
            let is_here = endpoint.node_name.as_ref() == Some(&place.node);
            candidates.insert((address, port), Candidate { address, port, ready, lingers, is_here });
        }
    }
    candidates
}

/// Those that are ready; when none is, those that still answer on their way out.
fn usable(candidates: &BTreeMap<(Ipv4Addr, u16), Candidate>, local: bool) -> BTreeSet<(Ipv4Addr, u16)> {
    let allowed = || candidates.values().filter(|candidate| candidate.is_here || !local);
    let place = |candidate: &Candidate| (candidate.address, candidate.port);
    let ready: BTreeSet<_> = allowed().filter(|candidate| candidate.ready).map(place).collect();
    if ready.is_empty() { allowed().filter(|candidate| candidate.lingers).map(place).collect() } else { ready }
}

/// Endpoints that may be on this node, and those that are no pods.
fn kinds_of_endpoints(slices: &[&EndpointSlice], place: &Place) -> (BTreeSet<Ipv4Addr>, BTreeSet<Ipv4Addr>) {
    let (mut near, mut outside) = (BTreeSet::new(), BTreeSet::new());
    for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()) {
        let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
        let target = endpoint.target_ref.as_ref().and_then(|target| target.kind.as_deref());
        if target != Some("Pod") {
            outside.insert(address);
        } else if endpoint.node_name.as_ref().is_none_or(|node| *node == place.node) {
            near.insert(address);
        }
    }
    (near, outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(service: Value, slices: &[Value]) -> Proxied {
        let service: Service = serde_json::from_value(service).unwrap();
        let slices: Vec<EndpointSlice> =
            slices.iter().map(|slice| serde_json::from_value(slice.clone()).unwrap()).collect();
        let place = Place { node: "n1".to_owned(), address: "192.168.77.1".parse().ok(), kubelet_port: 10250 };
        of(&service, slices.iter(), &place)
    }

    /// A Service at 10.96.0.7, with these ports and more.
    fn service(ports: Value, more: Value) -> Value {
        let mut spec = json!({ "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": ports });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "metadata": { "name": "web", "namespace": "a" }, "spec": spec })
    }

    /// Endpoints of pods: address, node, ready, serving, terminating.
    fn slice(ports: Value, endpoints: &[(&str, &str, bool, bool, bool)]) -> Value {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(address, node, ready, serving, terminating)| {
                json!({
                    "addresses": [address], "nodeName": node, "targetRef": { "kind": "Pod", "name": address },
                    "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
                })
            })
            .collect();
        json!({ "addressType": "IPv4", "ports": ports, "endpoints": endpoints })
    }

    /// `address:port/protocol -> endpoints`, one a line, with what is special.
    fn shown(proxied: &Proxied) -> Vec<String> {
        let line = |(frontend, backends): (&Frontend, &Backends)| {
            let endpoints: Vec<String> =
                backends.endpoints.iter().map(|(address, port)| format!("{address}:{port}")).collect();
            let masquerade = if backends.masquerade { " masquerade" } else { "" };
            let sticky = backends.sticky_seconds.map(|seconds| format!(" sticky {seconds}")).unwrap_or_default();
            let (address, port, protocol) = (frontend.address, frontend.port, frontend.protocol.0);
            format!("{address}:{port}/{protocol} -> {}{masquerade}{sticky}", endpoints.join(" "))
        };
        proxied.frontends.iter().map(line).collect()
    }

    const HERE: (&str, &str, bool, bool, bool) = ("10.244.1.2", "n1", true, true, false);
    const THERE: (&str, &str, bool, bool, bool) = ("10.244.2.2", "n2", true, true, false);
    const UNREADY: (&str, &str, bool, bool, bool) = ("10.244.2.3", "n2", false, false, false);
    const LEAVING: (&str, &str, bool, bool, bool) = ("10.244.2.4", "n2", false, true, true);

    #[test]
    fn frontends_lead_to_the_endpoints_that_answer() {
        let (one, at_8080) = (json!([{ "port": 80 }]), json!([{ "port": 8080 }]));
        let node_port = json!([{ "port": 80, "nodePort": 30080 }]);
        let two = json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 53, "protocol": "UDP" }]);
        let two_at = json!([{ "name": "a", "port": 8080 }, { "name": "b", "port": 5353, "protocol": "UDP" }]);
        let sticky = json!({ "sessionAffinity": "ClientIP" });
        let external = json!({ "externalIPs": ["203.0.113.7", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0"] });
        let both_local = json!({ "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local" });
        for (service, slices, expected) in [
            (service(one.clone(), json!({})), vec![], vec!["10.96.0.7:80/6 -> "]),
            (
                service(one.clone(), json!({})),
                vec![slice(at_8080.clone(), &[HERE, THERE, UNREADY, LEAVING])],
                vec!["10.96.0.7:80/6 -> 10.244.1.2:8080 10.244.2.2:8080"],
            ),
            // Those that leave are better than nobody.
            (
                service(one.clone(), json!({})),
                vec![slice(at_8080.clone(), &[UNREADY, LEAVING])],
                vec!["10.96.0.7:80/6 -> 10.244.2.4:8080"],
            ),
            // Every slice has its own port.
            (
                service(one.clone(), json!({})),
                vec![slice(at_8080.clone(), &[HERE]), slice(json!([{ "port": 9090 }]), &[THERE])],
                vec!["10.96.0.7:80/6 -> 10.244.1.2:8080 10.244.2.2:9090"],
            ),
            (
                service(two, json!({})),
                vec![slice(two_at, &[HERE])],
                vec!["10.96.0.7:80/6 -> 10.244.1.2:8080", "10.96.0.7:53/17 -> 10.244.1.2:5353"],
            ),
            (
                service(node_port.clone(), json!({})),
                vec![slice(at_8080.clone(), &[HERE, THERE])],
                vec![
                    "10.96.0.7:80/6 -> 10.244.1.2:8080 10.244.2.2:8080",
                    "192.168.77.1:30080/6 -> 10.244.1.2:8080 10.244.2.2:8080 masquerade",
                ],
            ),
            (
                service(node_port, both_local),
                vec![slice(at_8080.clone(), &[HERE, THERE])],
                vec!["10.96.0.7:80/6 -> 10.244.1.2:8080", "192.168.77.1:30080/6 -> 10.244.1.2:8080"],
            ),
            (
                service(one.clone(), external),
                vec![slice(at_8080.clone(), &[THERE])],
                vec!["10.96.0.7:80/6 -> 10.244.2.2:8080", "203.0.113.7:80/6 -> 10.244.2.2:8080 masquerade"],
            ),
            (
                service(one.clone(), sticky),
                vec![slice(at_8080.clone(), &[HERE])],
                vec!["10.96.0.7:80/6 -> 10.244.1.2:8080 sticky 10800"],
            ),
            (service(one.clone(), json!({ "type": "ExternalName" })), vec![], vec![]),
            (
                service(one, json!({ "clusterIP": "None", "clusterIPs": ["None"] })),
                vec![slice(at_8080, &[HERE])],
                vec![],
            ),
        ] {
            assert_eq!(shown(&read(service.clone(), &slices)), expected, "{service}");
        }
    }

    #[test]
    fn a_balancer_that_asks_for_it_is_not_gone_around() {
        let mut service = service(json!([{ "port": 80 }]), json!({ "type": "LoadBalancer" }));
        let ingress = json!([{ "ip": "203.0.113.7" }, { "ip": "203.0.113.8", "ipMode": "Proxy" }, { "hostname": "x" }]);
        service["status"] = json!({ "loadBalancer": { "ingress": ingress } });
        let at = |proxied: Proxied| {
            proxied.frontends.keys().map(|frontend| frontend.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(at(read(service, &[])), ["10.96.0.7", "203.0.113.7"]);
    }

    #[test]
    fn endpoints_are_known_by_their_place_and_kind() {
        let service = service(json!([{ "port": 443 }]), json!({}));
        let by_hand = json!({
            "addressType": "IPv4", "ports": [{ "port": 6443 }],
            "endpoints": [{ "addresses": ["192.168.77.9"], "conditions": {} }],
        });
        let six = json!({ "addressType": "IPv6", "ports": [], "endpoints": [{ "addresses": ["fd00::1"] }] });
        let proxied = read(service, &[slice(json!([]), &[HERE, THERE]), by_hand, six]);
        assert_eq!(proxied.near, BTreeSet::from(["10.244.1.2".parse().unwrap()]));
        assert_eq!(proxied.outside, BTreeSet::from(["192.168.77.9".parse().unwrap()]));
        assert_eq!(proxied.addresses, BTreeSet::from(["10.96.0.7".parse().unwrap()]));
        assert_eq!(shown(&proxied), ["10.96.0.7:443/6 -> 192.168.77.9:6443"], "no condition means ready");
    }
}
