//! Where the connections of each node's clients would go, and since when: what the nodes' proxies would have programmed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use node_agent::Destinations;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{node::FIRST_NODE, tale::Object};
use crate::network::Place;

/// By node: what was programmed, each with its time.
pub(crate) type History = BTreeMap<Place, Vec<(Instant, Destinations)>>;

/// What all nodes have programmed. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Arc<Mutex<History>>);

impl Routes {
    /// A node's connections go there from now on.
    pub(crate) fn lead(&self, node: Place, to: Destinations) {
        let mut routes = self.0.lock();
        let of_node = routes.entry(node).or_default();
        if of_node.last().is_none_or(|(_, before)| *before != to) {
            of_node.push((Instant::now(), to));
        }
    }

    /// Where the connections of every node go now.
    pub(crate) fn now(&self) -> BTreeMap<Place, Destinations> {
        let routes = self.0.lock();
        routes.iter().filter_map(|(node, led)| Some((*node, led.last()?.1.clone()))).collect()
    }

    pub(crate) fn all(&self) -> History {
        self.0.lock().clone()
    }
}

/// Where a node itself is reached.
pub(crate) fn address_of(node: Place) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 0, 1 + u8::try_from(node - FIRST_NODE).expect("there are few nodes"))
}

/// Where a Service is reached on a node.
pub(crate) fn frontends(service: &Object, node: Place) -> Vec<SocketAddrV4> {
    let spec = &service.json["spec"];
    let Some(address) = spec["clusterIP"].as_str().and_then(|address| address.parse::<Ipv4Addr>().ok()) else {
        return Vec::new();
    };
    let ports = spec["ports"].as_array().into_iter().flatten();
    let of_port = |port: &serde_json::Value| {
        let number = |name: &str| u16::try_from(port[name].as_u64()?).ok();
        let own = number("port").map(|number| SocketAddrV4::new(address, number));
        own.into_iter().chain(number("nodePort").map(|number| SocketAddrV4::new(address_of(node), number)))
    };
    ports.flat_map(of_port).collect()
}
