//! The agent of a node: where it is, and how it is asked.

use std::net::IpAddr;

use api::{
    Object,
    status::{Grouped, Status},
};
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use crate::{
    dialer::Connection,
    error::{Error, Result},
    pipeline::Call,
    request_info::query_pairs,
};

/// The port of every agent.
pub(super) const PORT: u16 = 10250;
const CONTAINERS: &str = "spec.containers";
const OTHERS: [(&str, &str); 2] =
    [("spec.initContainers", "init containers"), ("spec.ephemeralContainers", "ephemeral containers")];

/// An agent, as the Node object describes it.
pub(super) struct Agent<'a> {
    call: &'a Call,
    node: &'a str,
    address: IpAddr,
}

impl<'a> Agent<'a> {
    /// The agent of this node.
    pub(super) fn of(call: &'a Call, node: &'a str) -> Result<Self> {
        let json = call.server.storage.local_json("", "nodes", "", node);
        let json = json.ok_or_else(|| Status::not_found(Grouped::new("", "nodes"), node))?;
        let addresses = json["status"]["addresses"].as_array().cloned().unwrap_or_default();
        let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
        let address = internal.filter_map(|address| address["address"].as_str()?.parse().ok()).next();
        let address = address.ok_or_else(|| Status::internal(format!("node {node} has no internal address yet")))?;
        Ok(Self { call, node, address })
    }

    /// The node's own address.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn ask(&self, request: Request<Body>) -> Result<http::Response<Incoming>> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let unreachable = |error: &dyn std::fmt::Display| {
            let method = match method.as_str() {
                "GET" => "Get",
                "POST" => "Post",
                other => other,
            };
            Error::from(Status::internal(format!("{method} \"https://{}:{PORT}{uri}\": {error}", self.address)))
        };
        let io = self.call.server.config.dialer.connect(self.node, self.address, PORT).await;
        let io = io.map_err(|error| unreachable(&error))?;
        send(self.call, io, request).await.map_err(|error| unreachable(&error))
    }
}

/// Speaks HTTP/1.1 on a connection that serves this request only; it may change its protocol.
pub(super) async fn send(
    call: &Call,
    io: impl Connection + 'static,
    request: Request<Body>,
) -> Result<http::Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    call.server.tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to a node ended");
        }
    });
    sender.send_request(request).await
}

/// The container that is meant: the only one, or the one that is named.
pub(super) fn container(call: &Call, pod: &Object) -> Result<String> {
    let asked = query_pairs(call.query()).find(|(key, _)| key == "container").map(|(_, name)| name);
    let names = |list: &str| -> Vec<String> {
        pod.body.items_at(list).iter().map(|container| container.str_at("name").to_owned()).collect()
    };
    let name = pod.name();
    if let Some(asked) = asked.filter(|name| !name.is_empty()) {
        let known = names(CONTAINERS).contains(&asked) || OTHERS.iter().any(|(list, _)| names(list).contains(&asked));
        let unknown = || Status::bad_request(format!("container {asked} is not valid for pod {name}"));
        return if known { Ok(asked) } else { Err(unknown().into()) };
    }
    let regular = names(CONTAINERS);
    if let [only] = regular.as_slice() {
        return Ok(only.clone());
    }
    let mut message =
        format!("a container name must be specified for pod {name}, choose one of: [{}]", regular.join(" "));
    for (list, title) in OTHERS {
        let others = names(list);
        if !others.is_empty() {
            message.push_str(&format!(" or one of the {title}: [{}]", others.join(" ")));
        }
    }
    Err(Status::bad_request(message).into())
}
