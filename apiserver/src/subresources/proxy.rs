//! `proxy`: HTTP through this server to a pod, a service or a node.
//!
//! Masters need no way into the pod network: the agent of the pod's node makes the connection.

use std::net::IpAddr;

use api::status::Status;
use axum::{body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::PathAndQuery};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{
    agent::{self, Agent},
    relay,
};
use crate::{
    dialer::Connection,
    error::{Error, Result},
    pipeline::Call,
};

mod target;

use target::Target;

/// The agent's own protocols for a connection into its pod network: plain, and with TLS between the agent and the pod.
const TCP: &str = "kontiki-tcp";
const TLS: &str = "kontiki-tls";
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

pub(super) async fn serve(call: &Call, body: Body) -> Result<Response> {
    let path = rest(call.parts.uri.path(), call.resource.kind.is_namespaced());
    if path.is_empty() {
        return redirect(&call.parts.uri);
    }
    match call.resource.kind.plural {
        "nodes" => node(call, path, body).await,
        "services" => {
            let target = target::service(call, call.surroundings().random()).await?;
            to(call, &target, path, body).await
        }
        _ => {
            let target = target::pod(call).await?;
            to(call, &target, path, body).await
        }
    }
}

/// What follows `proxy` in the path, as it was sent; empty without a slash.
fn rest(path: &str, namespaced: bool) -> &str {
    // /api/v1/namespaces/NS/pods/NAME/proxy and /api/v1/nodes/NAME/proxy
    let mut left = if namespaced { 7 } else { 5 };
    let mut rest = path;
    while left > 0 {
        rest = rest.trim_start_matches('/');
        rest = &rest[rest.find('/').unwrap_or(rest.len())..];
        left -= 1;
    }
    rest
}

/// Relative links only work below a folder.
fn redirect(uri: &Uri) -> Result<Response> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{}/{query}", uri.path()));
    let location = location.map_err(|error| Status::bad_request(error.to_string()))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

async fn node(call: &Call, path: &str, body: Body) -> Result<Response> {
    let name = target::Name::parse(&call.info.name)?;
    let agent = Agent::of(call, name.object)?;
    let port = name.number()?;
    match port {
        None | Some(agent::PORT) => {
            let request = request(call, path, name.object, body)?;
            relay::answer(call, agent.ask(request).await?)
        }
        Some(port) => {
            name.check_direct()?;
            let target = Target::Direct { address: agent.address(), port };
            to(call, &target, path, body).await
        }
    }
}

async fn to(call: &Call, target: &Target, path: &str, body: Body) -> Result<Response> {
    let authority = target.authority();
    let unreachable = |error: &dyn std::fmt::Display| {
        Error::from(Status::unavailable(format!("error trying to reach service: dial tcp {authority}: {error}")))
    };
    let request = request(call, path, &authority, body)?;
    let answer = match target {
        Target::Direct { address, port } => {
            let io = direct(*address, *port).await.map_err(|error| unreachable(&error))?;
            agent::send(call, io, request).await
        }
        Target::Pod { node, namespace, name, port, tls } => {
            let uri = format!("/podConnect/{namespace}/{name}/{port}");
            let connect = Request::get(uri).header(header::HOST, node).header(header::CONNECTION, "Upgrade");
            let connect = connect.header(header::UPGRADE, if *tls { TLS } else { TCP }).body(Body::empty());
            let connect = connect.map_err(|error| Status::internal(error.to_string()))?;
            let answer = Agent::of(call, node)?.ask(connect).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(unreachable(&relay::text(answer).await));
            }
            let io = hyper::upgrade::on(answer).await.map_err(|error| unreachable(&error))?;
            agent::send(call, TokioIo::new(io), request).await
        }
    };
    relay::answer(call, answer.map_err(|error| unreachable(&error))?)
}

async fn direct(address: IpAddr, port: u16) -> std::io::Result<impl Connection + 'static> {
    timeout(CONNECT, TcpStream::connect((address, port))).await?
}

/// The client's request as the other side gets it: without what concerns this server alone.
fn request(call: &Call, path: &str, host: &str, body: Body) -> Result<Request<Body>> {
    let bad = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri: PathAndQuery = format!("{path}{query}").parse().map_err(|error| bad(&error))?;
    let mut request = Request::new(body);
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = Uri::from(uri);
    let upgrade = relay::is_upgrade(&call.parts.headers);
    for (name, value) in &call.parts.headers {
        let for_us = [header::AUTHORIZATION, header::HOST].contains(name) || relay::HOP_BY_HOP.contains(&name.as_str());
        let changes = upgrade && [header::CONNECTION, header::UPGRADE].contains(name);
        if !for_us || changes {
            request.headers_mut().append(name, value.clone());
        }
    }
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(|error| bad(&error))?);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_passed_as_it_was_sent() {
        for (path, namespaced, expected) in [
            ("/api/v1/namespaces/a/pods/b/proxy", true, ""),
            ("/api/v1/namespaces/a/pods/b/proxy/", true, "/"),
            ("/api/v1/namespaces/a/pods/b/proxy/x%2Fy//z", true, "/x%2Fy//z"),
            ("/api/v1/nodes/n/proxy/pods", false, "/pods"),
        ] {
            assert_eq!(rest(path, namespaced), expected, "{path}");
        }
    }
}
