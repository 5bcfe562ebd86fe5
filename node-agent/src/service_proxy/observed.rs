//! The proxy without a packet filter: where the connections of a node would go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frontends::{Backends, Frontend, Place, Protocol};
use super::{Filter, Known, Services, follow};
use crate::reflector;

/// By where a client connects to, over TCP: who answers there, one of them each time.
pub type Destinations = BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>>;

/// Changes between a watch and the proxy, as in an agent.
const CHANGES_MAX: usize = 256;
const KUBELET_PORT: u16 = 10250;

/// Follows Services and EndpointSlices as the agent of a node does, and tells what it would program into the packet filter, each
/// time that something may have changed. Goes on until it is dropped.
pub async fn observe_services(
    client: kube::Client,
    node: &str,
    address: Ipv4Addr,
    tell: impl FnMut(Destinations) + Send,
) {
    let place = Place { node: node.to_owned(), address: Some(address), kubelet_port: KUBELET_PORT };
    let (service, services) = mpsc::channel(CHANGES_MAX);
    let (slice, slices) = mpsc::channel(CHANGES_MAX);
    let (all, never) = (Services::default(), CancellationToken::new());
    tokio::join!(
        reflector::run(Api::<Service>::all(client.clone()), None, service),
        reflector::run(Api::<EndpointSlice>::all(client), None, slice),
        follow(Observed(tell), place, &all, (services, slices), never),
    );
}

struct Observed<T>(T);

impl<T: FnMut(Destinations) + Send> Filter for Observed<T> {
    async fn sync(&mut self, known: &Known, _check: bool) -> io::Result<()> {
        let places = known.places();
        let by_connection = places.iter().filter(|(frontend, _)| frontend.protocol == Protocol::TCP);
        (self.0)(by_connection.map(destination).collect());
        Ok(())
    }
}

fn destination((frontend, backends): (&Frontend, &&Backends)) -> (SocketAddrV4, BTreeSet<SocketAddrV4>) {
    let endpoints = backends.endpoints.iter().map(|(address, port)| SocketAddrV4::new(*address, *port));
    (SocketAddrV4::new(frontend.address, frontend.port), endpoints.collect())
}
