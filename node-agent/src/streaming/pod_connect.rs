//! `podConnect`: a master's way to a port of a pod, which it cannot reach itself. Not among Kubernetes' endpoints.
//!
//! Like the node's own probes, and unlike port-forward, it connects to the pod's address: what listens on the pod's
//! loopback only is out of reach.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::upgrade::Refusal;
use super::{Streaming, no_pod};

/// What the connection becomes: the bytes of a TCP connection.
const PROTOCOL: &str = "kontiki-tcp";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn serve(
    State(streaming): State<Streaming>,
    Path((namespace, pod, port)): Path<(String, String, u16)>,
    request: Request,
) -> Response {
    let prepared = prepare(&streaming, &namespace, &pod, request);
    let (address, connection) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return refusal.into_response(),
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((address, port))).await;
    let mut pod = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Refusal(StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        Err(_) => return Refusal(StatusCode::GATEWAY_TIMEOUT, "no answer".to_owned()).into_response(),
    };
    let spawned = streaming.spawn(async move {
        let Ok(upgraded) = connection.await else { return };
        // How the connection ends is for its two sides to know.
        tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut pod).await.ok();
    });
    if let Err(refusal) = spawned {
        return refusal.into_response();
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// The pod's address and the connection to the caller.
fn prepare(
    streaming: &Streaming,
    namespace: &str,
    pod: &str,
    mut request: Request,
) -> Result<(IpAddr, OnUpgrade), Refusal> {
    let required = || Refusal(StatusCode::BAD_REQUEST, format!("Upgrade to {PROTOCOL} required"));
    if request.headers().get(header::UPGRADE).is_none_or(|asked| asked != PROTOCOL) {
        return Err(required());
    }
    let connection = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(required)?;
    let entry = streaming.pods.by_name(namespace, pod).ok_or_else(no_pod)?;
    let address = entry.status.pod_ip.as_deref().and_then(|address| address.parse().ok());
    let missing = || Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("pod \"{pod}\" has no address yet"));
    Ok((address.ok_or_else(missing)?, connection))
}
