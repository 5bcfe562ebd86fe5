//! Where the masters are: each says so under a lease, and the acting leader keeps the endpoints of the `kubernetes`
//! Service equal to that.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    Proposal, WatchRange,
    etcdserverpb::{LeaseGrantRequest, PutRequest},
};
use tokio::time::sleep;

use super::writer::Writer;
use crate::server::Server;

const PREFIX: &str = "/kontiki/masters/";
const PREFIX_END: &str = "/kontiki/masters0";
/// A master that is silent for so long is no endpoint any more.
const LIFETIME_SECONDS: i64 = 10;
const RENEW: Duration = Duration::from_secs(3);
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Master {
    name: String,
    address: IpAddr,
    port: u16,
}

/// Says where this master is, from when it is ready until it shuts down.
pub(super) async fn publish(server: &Server) {
    let mut lease = None;
    let stay = async {
        loop {
            if server.failing_checks().is_empty() {
                match renew(server, lease).await {
                    Ok(id) => lease = Some(id),
                    Err(error) => tracing::warn!(%error, "cannot tell the cluster where this master is"),
                }
                sleep(RENEW).await;
            } else {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::select! {
        () = server.shutdown.cancelled() => {}
        () = stay => {}
    }
    if let Some(lease) = lease
        && let Err(error) = server.storage.store().lease_revoke(lease).await
    {
        tracing::debug!(%error, "cannot take this master's address back");
    }
}

async fn renew(server: &Server, lease: Option<i64>) -> Result<i64, store::Error> {
    let store = server.storage.store();
    if let Some(id) = lease
        && store.lease_keep_alive(id).await?.ttl > 0
    {
        return Ok(id);
    }
    let id = store.lease_grant(LeaseGrantRequest { ttl: LIFETIME_SECONDS, id: 0 }).await?.id;
    let config = &server.config;
    let master = Master { name: config.name.clone(), address: config.advertise_address, port: config.port };
    let put = PutRequest {
        key: format!("{PREFIX}{:016x}", config.member_id).into(),
        value: json!(master).to_string().into(),
        lease: id,
        ..PutRequest::default()
    };
    store.put(put, Proposal::default()).await?;
    Ok(id)
}

/// Keeps the endpoints what the masters say, as long as this master leads.
pub(super) async fn keep_endpoints(writer: &Writer, server: &Server) {
    let store = server.storage.store();
    loop {
        let start_revision = store.view().revision() + 1;
        let range =
            WatchRange { key: PREFIX.into(), range_end: PREFIX_END.into(), start_revision, ..WatchRange::default() };
        let mut changes = store.watch(range);
        while !write(writer, server).await {
            sleep(super::RETRY).await;
        }
        match changes.next().await {
            Ok(_) | Err(store::Error::Compacted { .. }) => {}
            Err(_) => return,
        }
    }
}

async fn write(writer: &Writer, server: &Server) -> bool {
    let Ok(page) = server.storage.view().prefix(PREFIX.as_bytes(), b"", usize::MAX, 0) else { return false };
    let mut by_port: BTreeMap<u16, Vec<Master>> = BTreeMap::new();
    for master in page.kvs.iter().filter_map(|row| serde_json::from_slice::<Master>(&row.value).ok()) {
        by_port.entry(master.port).or_default().push(master);
    }
    // With no master known there is nothing better to say than what was said before.
    if by_port.is_empty() {
        return true;
    }
    by_port.values_mut().for_each(|masters| masters.sort());
    let slices = slices(&by_port);
    remove_others(writer, server, &slices).await;
    let mut written = writer.ensure(endpoints(&by_port)).await;
    for slice in slices {
        written &= writer.ensure(slice).await;
    }
    written
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// One slice for each port and family; all masters of a cluster usually share both.
fn slices(by_port: &BTreeMap<u16, Vec<Master>>) -> Vec<Value> {
    let mut slices = Vec::new();
    for (port, masters) in by_port {
        for kind in ["IPv4", "IPv6"] {
            let of_kind = masters.iter().filter(|master| family(master.address) == kind);
            let endpoint = |master: &Master| json!({ "addresses": [master.address], "conditions": { "ready": true } });
            let endpoints: Vec<Value> = of_kind.map(endpoint).collect();
            if endpoints.is_empty() {
                continue;
            }
            let name = if slices.is_empty() {
                "kubernetes".to_owned()
            } else {
                format!("kubernetes-{port}-{}", kind.to_lowercase())
            };
            slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": name, "namespace": "default", "labels": { "kubernetes.io/service-name": "kubernetes" },
                },
                "addressType": kind, "endpoints": endpoints,
                "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
            }));
        }
    }
    slices
}

fn endpoints(by_port: &BTreeMap<u16, Vec<Master>>) -> Value {
    let subset = |(port, masters): (&u16, &Vec<Master>)| {
        let addresses: Vec<Value> = masters.iter().map(|master| json!({ "ip": master.address })).collect();
        json!({ "addresses": addresses, "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] })
    };
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": by_port.iter().map(subset).collect::<Vec<_>>(),
    })
}

/// Removes slices of ports that no master has any longer.
async fn remove_others(writer: &Writer, server: &Server, wanted: &[Value]) {
    let mut others = Vec::new();
    server.storage.visit_local("discovery.k8s.io", "endpointslices", "default", |_, slice| {
        let header = slice.header();
        let ours =
            header.name.starts_with("kubernetes-") && header.label("kubernetes.io/service-name") == Some("kubernetes");
        if ours && !wanted.iter().any(|slice| slice["metadata"]["name"] == *header.name) {
            others.push(header.name.to_string());
        }
        true
    });
    for name in others {
        writer.delete(&format!("{SLICES}/{name}")).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(name: &str, address: &str, port: u16) -> Master {
        Master { name: name.into(), address: address.parse().unwrap(), port }
    }

    #[test]
    fn all_masters_stand_in_one_slice_when_their_ports_are_equal() {
        let same = BTreeMap::from([(6443, vec![master("a", "10.0.0.1", 6443), master("b", "10.0.0.2", 6443)])]);
        let made = slices(&same);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0]["metadata"]["name"], "kubernetes");
        assert_eq!(made[0]["endpoints"].as_array().unwrap().len(), 2);
        let two = BTreeMap::from([(1, vec![master("a", "10.0.0.1", 1)]), (2, vec![master("b", "10.0.0.1", 2)])]);
        let made = slices(&two);
        assert_eq!(made[1]["metadata"]["name"], "kubernetes-2-ipv4");
        assert_eq!(endpoints(&two)["subsets"].as_array().unwrap().len(), 2);
    }
}
