//! `exec`, `attach` and `portforward`: the client's connection and the agent's, tied together.
//!
//! Nothing is translated: the agent speaks whatever protocol the client asked for. This server checks who may, finds the
//! container and its node, and moves bytes.

use api::{Object, status::Status};
use axum::{body::Body, response::Response};
use http::{HeaderMap, Request, header};

use super::{
    agent::{self, Agent},
    relay,
};
use crate::{
    error::Result,
    pipeline::Call,
    request_info::{encode_query, query_pairs},
};

/// Names of the API's parameters and of the agent's.
const STREAMS: [(&str, &str); 4] = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
/// What an agent has to know of the client's request.
const FORWARDED: [&str; 6] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "x-stream-protocol-version",
];

/// Runs a program in a container, or attaches to its own.
pub(super) async fn command(call: &Call, what: &str) -> Result<Response> {
    let pod = begin(call).await?;
    let container = agent::container(call, &pod)?;
    let mut query = Vec::new();
    for (key, value) in query_pairs(call.query()) {
        if key == "command" {
            query.push(format!("command={}", encode_query(&value)));
        } else if let Some((_, name)) = STREAMS.iter().find(|(own, _)| *own == key)
            && matches!(value.as_str(), "1" | "t" | "T" | "true" | "True" | "TRUE")
        {
            query.push(format!("{name}=1"));
        }
    }
    let (namespace, name) = (call.namespace(), pod.name());
    connect(call, &pod, &format!("/{what}/{namespace}/{name}/{container}?{}", query.join("&"))).await
}

/// Opens connections to ports of a pod.
pub(super) async fn port_forward(call: &Call) -> Result<Response> {
    let pod = begin(call).await?;
    let ports = query_pairs(call.query()).filter(|(key, _)| key == "ports");
    let ports: Vec<String> = ports.map(|(_, value)| format!("port={}", encode_query(&value))).collect();
    let (namespace, name) = (call.namespace(), pod.name());
    connect(call, &pod, &format!("/portForward/{namespace}/{name}?{}", ports.join("&"))).await
}

/// Whoever may only look must not act, though a WebSocket begins with a GET.
async fn begin(call: &Call) -> Result<Object> {
    if call.info.verb == "get" {
        call.authorize_also("create")?;
    }
    Ok(call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?.object)
}

async fn connect(call: &Call, pod: &Object, uri: &str) -> Result<Response> {
    let node = pod.str_at("spec.nodeName");
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name())).into());
    }
    let headers = &call.parts.headers;
    if !relay::is_upgrade(headers) {
        return Err(Status::bad_request("Upgrade request required").into());
    }
    let request = Request::builder().method(&call.parts.method).uri(uri).header(header::HOST, node);
    let mut request = request.body(Body::empty()).map_err(|error| Status::bad_request(error.to_string()))?;
    *request.headers_mut() = forwarded(headers, request.headers());
    let answer = Agent::of(call, node)?.ask(request).await?;
    relay::answer(call, answer)
}

fn forwarded(from: &HeaderMap, own: &HeaderMap) -> HeaderMap {
    let mut headers = own.clone();
    for (name, value) in from.iter().filter(|(name, _)| FORWARDED.contains(&name.as_str())) {
        headers.append(name, value.clone());
    }
    headers
}
