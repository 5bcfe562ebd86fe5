//! What the Node objects mean for this node's network: its own pod CIDRs and the routes to the others' pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::network::cidr::Cidr;
use crate::network::routes::Peers;
use crate::node_status::Readiness;
use crate::pod::context::Context;
use crate::reflector::Change;

/// Routes that someone removed are set again after this time.
const RESYNC: Duration = Duration::from_secs(30);
/// What failed is tried again after this time at first; each time it waits twice as long, up to [`RESYNC`].
const RETRY: Duration = Duration::from_millis(100);

/// The part of a Node that routes depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    cidrs: Vec<Cidr>,
    address: Option<IpAddr>,
}

/// Follows the Nodes until `shutdown`.
pub(crate) async fn run(
    context: Arc<Context>,
    mut changes: mpsc::Receiver<Change<Node>>,
    readiness: Arc<watch::Sender<Readiness>>,
    own: watch::Sender<Option<Node>>,
    shutdown: CancellationToken,
) {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut listed = false;
    let mut retry = RETRY;
    let mut next = Instant::now() + RESYNC;
    loop {
        let is_news = tokio::select! {
            change = changes.recv() => match change {
                Some(change) => {
                    listed = true;
                    tell_own(&context.config.node_name, &change, &own);
                    apply(&mut places, change)
                }
                None => return,
            },
            () = tokio::time::sleep_until(next), if listed => true,
            () = shutdown.cancelled() => return,
        };
        if !is_news {
            continue;
        }
        let (network, complete) = match sync(&context, &places).await {
            Ok(complete) => (Ok(()), complete),
            Err(error) => (Err(error), false),
        };
        let pause = if complete { RESYNC } else { retry };
        next = Instant::now() + pause;
        retry = if complete { RETRY } else { (retry * 2).min(RESYNC) };
        readiness.send_if_modified(|readiness| {
            let is_new = readiness.network != network;
            readiness.network = network;
            is_new
        });
    }
}

/// Passes on what the change means for this node's own object.
fn tell_own(name: &str, change: &Change<Node>, own: &watch::Sender<Option<Node>>) {
    let is_own = |node: &Node| node.metadata.name.as_deref() == Some(name);
    let now = match change {
        Change::Reset(nodes) => nodes.iter().find(|node| is_own(node)).cloned(),
        Change::Applied(node) if is_own(node) => Some(node.clone()),
        Change::Deleted(node) if is_own(node) => None,
        Change::Applied(_) | Change::Deleted(_) => return,
    };
    own.send_replace(now);
}

fn apply(places: &mut BTreeMap<String, Place>, change: Change<Node>) -> bool {
    let name = |node: &Node| node.metadata.name.clone().unwrap_or_default();
    match change {
        Change::Reset(nodes) => {
            let new: BTreeMap<String, Place> = nodes.iter().map(|node| (name(node), place(node))).collect();
            let changed = *places != new;
            *places = new;
            changed
        }
        Change::Applied(node) => {
            let new = place(&node);
            places.insert(name(&node), new.clone()) != Some(new)
        }
        Change::Deleted(node) => places.remove(&name(&node)).is_some(),
    }
}

fn place(node: &Node) -> Place {
    let spec = node.spec.as_ref();
    let mut texts: Vec<&String> = spec.and_then(|spec| spec.pod_cidrs.as_ref()).into_iter().flatten().collect();
    if texts.is_empty() {
        texts.extend(spec.and_then(|spec| spec.pod_cidr.as_ref()));
    }
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP");
    Place {
        cidrs: texts.into_iter().filter_map(|text| text.parse().ok()).collect(),
        address: internal.and_then(|address| address.address.parse().ok()),
    }
}

/// The routes of this node: to every other node that has both a range and an address of its own.
fn peers(places: &BTreeMap<String, Place>, own_name: &str, own_address: IpAddr) -> Peers {
    let others = places.iter().filter(|(name, place)| *name != own_name && place.address != Some(own_address));
    let mut peers = Peers::new();
    for (_, place) in others {
        for cidr in &place.cidrs {
            let on_same_family = place.address.filter(|address| address.is_ipv4() == cidr.network().is_ipv4());
            peers.extend(on_same_family.map(|address| (*cidr, address)));
        }
    }
    peers
}

/// Whether every route stands; an error when pods cannot be given a network at all.
async fn sync(context: &Context, places: &BTreeMap<String, Place>) -> Result<bool, String> {
    let config = &context.config;
    let own = places.get(&config.node_name).cloned().unwrap_or_default();
    if own.cidrs.is_empty() {
        return Err("the node has no pod CIDR yet".to_owned());
    }
    context.network.set_pod_cidrs(own.cidrs).await.map_err(|error| error.to_string())?;
    let peers = peers(places, &config.node_name, config.node_ip);
    let refused = context.network.sync_routes(&peers).await.map_err(|error| error.to_string())?;
    // One node that cannot be reached does not make this one useless.
    for (cidr, why) in &refused {
        tracing::warn!(%cidr, why, "no route to the pods of a node");
    }
    Ok(refused.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, cidr: Option<&str>, address: Option<&str>) -> Node {
        let addresses: Vec<_> =
            address.iter().map(|address| json!({ "type": "InternalIP", "address": address })).collect();
        serde_json::from_value(json!({
            "metadata": { "name": name }, "spec": { "podCIDR": cidr }, "status": { "addresses": addresses }
        }))
        .unwrap()
    }

    #[test]
    fn peers_have_a_range_and_an_address_and_are_not_us() {
        let mut places = BTreeMap::new();
        let nodes = vec![
            node("me", Some("10.244.0.0/24"), Some("10.0.0.1")),
            node("a", Some("10.244.1.0/24"), Some("10.0.0.2")),
            node("no-range", None, Some("10.0.0.3")),
            node("no-address", Some("10.244.4.0/24"), None),
            node("same-machine", Some("10.244.5.0/24"), Some("10.0.0.1")),
        ];
        assert!(apply(&mut places, Change::Reset(nodes.clone())));
        assert!(!apply(&mut places, Change::Applied(nodes[1].clone())), "a heartbeat is no news");
        let found = peers(&places, "me", "10.0.0.1".parse().unwrap());
        let expected: Peers = [("10.244.1.0/24".parse().unwrap(), "10.0.0.2".parse().unwrap())].into_iter().collect();
        assert_eq!(found, expected);
        assert!(apply(&mut places, Change::Deleted(nodes[1].clone())));
        assert!(peers(&places, "me", "10.0.0.1".parse().unwrap()).is_empty());
    }
}
