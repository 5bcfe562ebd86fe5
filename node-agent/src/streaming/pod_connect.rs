//! `podConnect`: a master's way to a port of a pod, which it cannot reach itself. Not among Kubernetes' endpoints.
//!
//! Like the node's own probes, and unlike port-forward, it connects to the pod's address: what listens on the pod's
//! loopback only is out of reach. Where the caller cannot speak TLS with the pod, the node does.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::upgrade::Refusal;
use super::{Streaming, no_pod};
use crate::pod_tls;

/// What the connection becomes: the bytes of a TCP connection, or those within TLS.
const TCP: &str = "kontiki-tcp";
const TLS: &str = "kontiki-tls";
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn serve(
    State(streaming): State<Streaming>,
    Path((namespace, pod, port)): Path<(String, String, u16)>,
    request: Request,
) -> Response {
    let prepared = prepare(&streaming, &namespace, &pod, request);
    let (address, connection, protocol) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return refusal.into_response(),
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(address, port, protocol)).await;
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
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

async fn connect(address: IpAddr, port: u16, protocol: &str) -> io::Result<Box<dyn Io>> {
    let tcp = TcpStream::connect((address, port)).await?;
    Ok(if protocol == TLS { Box::new(pod_tls::connect(tcp, address).await?) } else { Box::new(tcp) })
}

/// The pod's address, the connection to the caller, and what it becomes.
fn prepare(
    streaming: &Streaming,
    namespace: &str,
    pod: &str,
    mut request: Request,
) -> Result<(IpAddr, OnUpgrade, &'static str), Refusal> {
    let required = || Refusal(StatusCode::BAD_REQUEST, format!("Upgrade to {TCP} or {TLS} required"));
    let asked = request.headers().get(header::UPGRADE).ok_or_else(required)?;
    let protocol = [TCP, TLS].into_iter().find(|protocol| asked == protocol).ok_or_else(required)?;
    let connection = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(required)?;
    let entry = streaming.pods.by_name(namespace, pod).ok_or_else(no_pod)?;
    let address = entry.status.pod_ip.as_deref().and_then(|address| address.parse().ok());
    let missing = || Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("pod \"{pod}\" has no address yet"));
    Ok((address.ok_or_else(missing)?, connection, protocol))
}
