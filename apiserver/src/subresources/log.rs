//! `log`: what a container has written, straight from the agent of its node.

use std::net::IpAddr;

use api::{
    Object,
    status::{Reason, Status},
};
use axum::{body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;

use crate::{
    error::{Error, Result},
    pipeline::Call,
    request_info::query_pairs,
};

const PORT: u16 = 10250;
/// How much of an agent's refusal is told to the client.
const MESSAGE: usize = 64 * 1024;
const LISTS: [&str; 3] = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];

pub(super) async fn get(call: &Call) -> Result<Response> {
    let pod = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?.object;
    let container = container(call, &pod)?;
    let node = pod.str_at("spec.nodeName").to_owned();
    if node.is_empty() {
        return Ok(text(Body::empty()));
    }
    let query: Vec<&str> =
        call.query().split('&').filter(|pair| !pair.starts_with("container=") && !pair.is_empty()).collect();
    let (namespace, name) = (call.namespace(), pod.name());
    let uri = format!("/containerLogs/{namespace}/{name}/{container}?{}", query.join("&"));
    let answer = ask(call, &node, &uri).await?;
    if answer.status() == StatusCode::OK {
        return Ok(text(Body::new(answer.into_body())));
    }
    Err(refusal(answer).await)
}

/// The container that is meant: the only one, or the one that is named.
fn container(call: &Call, pod: &Object) -> Result<String> {
    let asked = query_pairs(call.query()).find(|(key, _)| key == "container").map(|(_, name)| name);
    let names = |list: &str| -> Vec<String> {
        pod.body.items_at(list).iter().map(|container| container.str_at("name").to_owned()).collect()
    };
    let name = pod.name();
    match asked.filter(|name| !name.is_empty()) {
        Some(asked) if LISTS.iter().any(|list| names(list).contains(&asked)) => Ok(asked),
        Some(asked) => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")).into()),
        None => match names(LISTS[0]).as_slice() {
            [only] => Ok(only.clone()),
            many => {
                let many = many.join(" ");
                let message = format!("a container name must be specified for pod {name}, choose one of: [{many}]");
                Err(Status::bad_request(message).into())
            }
        },
    }
}

async fn ask(call: &Call, node: &str, uri: &str) -> Result<http::Response<Incoming>> {
    let address = address(call, node)?;
    let unreachable = |error: &dyn std::fmt::Display| {
        Error::from(Status::internal(format!("Get \"https://{address}:{PORT}{uri}\": {error}")))
    };
    let io = call.server.config.dialer.connect(node, address, PORT).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|error| unreachable(&error))?;
    call.server.tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to an agent ended");
        }
    });
    let request = Request::get(uri).header(header::HOST, node).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Status::bad_request(error.to_string()))?;
    sender.send_request(request).await.map_err(|error| unreachable(&error))
}

fn address(call: &Call, node: &str) -> Result<IpAddr> {
    let json = call.server.storage.local_json("", "nodes", "", node);
    let json = json.ok_or_else(|| Status::not_found(api::status::Grouped::new("", "nodes"), node))?;
    let addresses = json["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
    let address = internal.filter_map(|address| address["address"].as_str()?.parse().ok()).next();
    address.ok_or_else(|| Status::internal(format!("node {node} has no internal address yet")).into())
}

/// An agent's refusal, in the agent's words.
async fn refusal(answer: http::Response<Incoming>) -> Error {
    let reason = match answer.status() {
        StatusCode::BAD_REQUEST => Reason::BadRequest,
        StatusCode::NOT_FOUND => Reason::NotFound,
        StatusCode::FORBIDDEN => Reason::Forbidden,
        StatusCode::UNAUTHORIZED => Reason::Unauthorized,
        _ => Reason::InternalError,
    };
    let body = Limited::new(answer.into_body(), MESSAGE).collect().await;
    let message = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
    Status::failure(reason, message).into()
}

fn text(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
