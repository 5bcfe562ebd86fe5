//! Learns the masters from the EndpointSlice `default/kubernetes`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::time::{Instant, sleep, timeout};

use super::{Masters, SERVER_NAME};
use crate::connection::Connection;
use crate::tls;

const PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
const PERIOD: Duration = Duration::from_secs(5);
/// A cluster that has just been made grows: whoever joined it early must know the others before the first one is lost.
const EARLY: Duration = Duration::from_secs(30);
const EARLY_PERIOD: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(masters: Masters) {
    let started = Instant::now();
    loop {
        match timeout(TIMEOUT, ask(&masters)).await {
            Ok(Some(addresses)) if !addresses.is_empty() => masters.set(addresses),
            Ok(_) | Err(_) => {}
        }
        sleep(if started.elapsed() < EARLY { EARLY_PERIOD } else { PERIOD }).await;
    }
}

async fn ask(masters: &Masters) -> Option<Vec<SocketAddr>> {
    let master = masters.pick(Instant::now() + TIMEOUT).await.ok()?;
    let tls = tls::speaking(&masters.tls(), b"http/1.1");
    let mut connection = Connection::open(masters.dial(), master.address, masters.server_name(), tls).await.ok()?;
    let (status, body) = connection.get(SERVER_NAME, PATH).await.ok()?;
    if !status.is_success() {
        tracing::debug!(%status, "the masters could not be learned: no permission, or no slice yet");
        return None;
    }
    let slice: EndpointSlice = serde_json::from_slice(&body).ok()?;
    Some(addresses(&slice))
}

fn addresses(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let port = ports.iter().find(|port| port.name.as_deref() == Some("https")).or(ports.first());
    let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    let addresses = endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter());
    addresses
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_slice_is_a_master() {
        let slice = serde_json::from_value(serde_json::json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}],
            "ports": [{"name": "https", "port": 6443}],
        }))
        .unwrap();
        let expect: Vec<SocketAddr> = vec!["10.0.0.1:6443".parse().unwrap(), "10.0.0.2:6443".parse().unwrap()];
        assert_eq!(addresses(&slice), expect);
    }
}
