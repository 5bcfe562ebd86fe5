//! Passing on another server's answer, be it a body or a change of protocol.

use std::time::Duration;

use api::status::Status;
use axum::{body::Body, response::Response};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{error::Result, pipeline::Call};

/// Headers that concern one connection only.
pub(super) const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "transfer-encoding", "upgrade"];
/// How long one direction may go on once the other has ended.
const LINGER: Duration = Duration::from_secs(10);
const BUFFER: usize = 32 * 1024;
/// How much of a refusal is told to the client.
const MESSAGE: usize = 64 * 1024;

/// Whether the client asks for another protocol on its connection.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut words = lines.flat_map(|line| line.split(',')).map(str::trim);
    headers.contains_key(header::UPGRADE) && words.any(|word| word.eq_ignore_ascii_case("upgrade"))
}

/// Passes the answer on. If the other side has changed the protocol, both connections become one.
pub(super) fn answer(call: &Call, answer: http::Response<Incoming>) -> Result<Response> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let mut answer = answer.map(Body::new);
        for name in HOP_BY_HOP {
            answer.headers_mut().remove(name);
        }
        return Ok(answer);
    }
    // HTTP/2 has no such change, nor has a call within this process.
    let client = call.parts.extensions.get::<OnUpgrade>().cloned();
    let client = client.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let mut switched = Response::new(Body::empty());
    *switched.status_mut() = answer.status();
    *switched.headers_mut() = answer.headers().clone();
    let (node, shutdown) = (hyper::upgrade::on(answer), call.server.shutdown.clone());
    call.server.tasks.spawn(async move {
        tokio::select! {
            () = tie(client, node) => {}
            () = shutdown.cancelled() => {}
        }
    });
    Ok(switched)
}

/// A refusal in the other side's own words.
pub(super) async fn text(answer: http::Response<Incoming>) -> String {
    let body = Limited::new(answer.into_body(), MESSAGE).collect().await;
    body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default()
}

async fn tie(client: OnUpgrade, node: OnUpgrade) {
    match tokio::try_join!(client, node) {
        Ok((client, node)) => relay(client, node).await,
        Err(error) => tracing::debug!(%error, "a connection ended before it changed its protocol"),
    }
}

async fn relay(client: Upgraded, node: Upgraded) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_node, to_node) = tokio::io::split(TokioIo::new(node));
    let (inwards, outwards) = (copy(from_client, to_node), copy(from_node, to_client));
    tokio::pin!(inwards, outwards);
    // The one who hears of the end has a moment for a last word, which may be the outcome of it all.
    tokio::select! {
        () = &mut inwards => drop(timeout(LINGER, outwards).await),
        () = &mut outwards => drop(timeout(LINGER, inwards).await),
    }
}

/// Moves bytes until one side is gone, and passes its end on.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    // Gone already, perhaps.
    to.shutdown().await.ok();
}
