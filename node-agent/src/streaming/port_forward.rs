//! `portForward`: connections to ports of a pod, made inside its network namespace.
//!
//! Over SPDY, alone or in a WebSocket, the client opens two streams for each connection, one for bytes and one for an
//! error, tied by a request's number. Over plain WebSocket channels the ports are named in the address, and each has one
//! connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::spdy::{Session, Stream};
use super::upgrade::{self, Refusal, Transport};
use super::websocket::{self, Channels};
use super::wire::Output;
use super::{Network, Streaming, query};

const SPDY_PROTOCOLS: [&str; 1] = ["portforward.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const WEBSOCKET_PROTOCOLS: [&str; 3] = [TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Once the pod has closed, the client gets this long to do so.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that wait for the other of their pair.
const HALVES_MAX: usize = 64;
/// Channels are numbered by a byte, two for each port.
const PORTS_MAX: usize = 127;
const PIECE: usize = 32 * 1024;

pub(super) async fn serve(
    State(streaming): State<Streaming>,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request,
) -> Response {
    answer(&streaming, &namespace, &pod, request).unwrap_or_else(IntoResponse::into_response)
}

fn answer(streaming: &Streaming, namespace: &str, pod: &str, request: Request) -> Result<Response, Refusal> {
    let ports = ports(&query(&request)?)?;
    let network = Arc::new(streaming.network(namespace, pod)?);
    let upgrade = upgrade::accept(request, &SPDY_PROTOCOLS, &WEBSOCKET_PROTOCOLS)?;
    let (transport, protocol) = (upgrade.transport, upgrade.protocol.clone());
    let by_channels = transport == Transport::WebSocket && protocol != TUNNEL;
    if by_channels && ports.is_empty() {
        return Err(Refusal(StatusCode::BAD_REQUEST, "query parameter \"port\" is required".to_owned()));
    }
    let (response, connecting) = upgrade.answer()?;
    streaming.spawn(async move {
        let Some(io) = connecting.connected().await else { return };
        match transport {
            Transport::Spdy => streams(Session::new(io), network).await,
            Transport::WebSocket if !by_channels => streams(Session::new(websocket::tunnel(io)), network).await,
            Transport::WebSocket => channels(io, protocol.contains("base64"), &ports, network).await,
        }
    })?;
    Ok(response)
}

/// The ports that the address names, singly or as a list.
fn ports(query: &[(String, String)]) -> Result<Vec<u16>, Refusal> {
    let named = query.iter().filter(|(key, _)| key == "port" || key == "ports").flat_map(|(_, value)| value.split(','));
    let ports: Result<Vec<u16>, _> = named.map(|text| port(text).ok_or(text)).collect();
    match ports {
        Ok(ports) if ports.len() <= PORTS_MAX => Ok(ports),
        Ok(_) => Err(Refusal(StatusCode::BAD_REQUEST, format!("more than {PORTS_MAX} ports"))),
        Err(text) => Err(Refusal(StatusCode::BAD_REQUEST, format!("unable to parse {text:?} as a port"))),
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// Serves connections as the client opens them, until it leaves.
async fn streams(mut session: Session, network: Arc<Network>) {
    let mut halves: HashMap<String, Stream> = HashMap::new();
    let mut forwards = JoinSet::new();
    let gone = session.gone.clone();
    loop {
        let stream = tokio::select! {
            stream = session.accept() => stream,
            Some(_) = forwards.join_next() => continue,
            () = gone.cancelled() => None,
        };
        let Some(stream) = stream else { return };
        let port = stream.header("port").and_then(port);
        let is_error = stream.header("streamtype") == Some("error");
        let (Some(port), Some(id)) = (port, stream.header("requestid").map(str::to_owned)) else {
            tracing::debug!("a stream for no port");
            continue;
        };
        let Some(other) = halves.remove(&id) else {
            if halves.len() < HALVES_MAX {
                halves.insert(id, stream);
            }
            continue;
        };
        let (error, data) = if is_error { (stream, other) } else { (other, stream) };
        forwards.spawn(forward(network.clone(), port, data.input, data.output, error.output));
    }
}

/// Serves one connection for each port.
async fn channels(io: TokioIo<Upgraded>, text: bool, ports: &[u16], network: Arc<Network>) {
    let numbers = |port: usize| u8::try_from(2 * port).ok().zip(u8::try_from(2 * port + 1).ok());
    let inputs: Vec<u8> = (0..ports.len()).filter_map(numbers).map(|(data, _)| data).collect();
    let mut channels = Channels::new(io, text, &inputs);
    let mut forwards = JoinSet::new();
    for (index, port) in ports.iter().enumerate() {
        let Some((data, error)) = numbers(index) else { return };
        let Some(input) = channels.input(data) else { return };
        let (data, error) = (channels.output(data), channels.output(error));
        for output in [&data, &error] {
            if output.send(&port.to_le_bytes()).await.is_err() {
                return;
            }
        }
        forwards.spawn(forward(network.clone(), *port, input, data, error));
    }
    tokio::select! {
        () = async { while forwards.join_next().await.is_some() {} } => {}
        () = channels.gone.cancelled() => {}
    }
}

/// One connection: until both sides have closed, or the pod has and the client does not.
async fn forward(network: Arc<Network>, port: u16, input: mpsc::Receiver<Bytes>, data: Output, error: Output) {
    match connect(network.namespace.clone(), port).await {
        Ok(connection) => {
            error.finish().await;
            copy(connection, input, data).await;
        }
        Err(why) => {
            let text = format!("error forwarding port {port} to pod {}, uid : {why}", network.pod_uid);
            error.send(text.as_bytes()).await.ok();
            error.finish().await;
            data.finish().await;
        }
    }
}

async fn copy(connection: TcpStream, mut input: mpsc::Receiver<Bytes>, data: Output) {
    let (mut read, mut write) = connection.into_split();
    let inwards = async {
        while let Some(bytes) = input.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The pod may have closed already.
        write.shutdown().await.ok();
    };
    let outwards = async {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if data.send(&buffer[..count]).await.is_err() {
                return;
            }
        }
        data.finish().await;
    };
    tokio::pin!(inwards);
    tokio::pin!(outwards);
    tokio::select! {
        () = &mut inwards => outwards.await,
        () = &mut outwards => drop(tokio::time::timeout(CLOSE_TIMEOUT, inwards).await),
    }
}

/// Connects to the port as a process of the pod would, to `localhost`.
async fn connect(namespace: Option<PathBuf>, port: u16) -> Result<TcpStream, String> {
    let dial = move || {
        let dial =
            |address: IpAddr| std::net::TcpStream::connect_timeout(&SocketAddr::new(address, port), CONNECT_TIMEOUT);
        let connected = dial(Ipv4Addr::LOCALHOST.into())
            .or_else(|four| dial(Ipv6Addr::LOCALHOST.into()).map_err(|six| (four, six)))
            .map_err(|(four, six)| io::Error::other(format!("IPv4: {four}, IPv6: {six}")))?;
        connected.set_nodelay(true)?;
        connected.set_nonblocking(true)?;
        Ok(connected)
    };
    let dialled = tokio::task::spawn_blocking(move || match namespace {
        Some(namespace) => crate::network::netns::within(&namespace, dial),
        None => dial(),
    });
    let dialled = dialled.await.map_err(io::Error::other).flatten().and_then(TcpStream::from_std);
    dialled.map_err(|error| format!("failed to connect to localhost:{port} inside the pod: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_singly_or_as_a_list() {
        let query = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        assert_eq!(ports(&query("port=80&ports=81,82&x=1")).unwrap(), [80, 81, 82]);
        for bad in ["port=0", "port=65536", "port=http"] {
            assert!(ports(&query(bad)).is_err(), "{bad}");
        }
    }
}
