//! One check: a TCP connection or an HTTP request from the node to the pod.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

/// How a check went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure(String),
    Unsupported(String),
}

pub(super) async fn check(probe: &Probe, container: &Container, pod: Option<IpAddr>, limit: Duration) -> Outcome {
    let work = async {
        if let Some(action) = &probe.tcp_socket {
            return match target(action.host.as_deref(), &action.port, container, pod) {
                Ok(address) => tcp(address).await.map_or_else(Outcome::Failure, |_| Outcome::Success),
                Err(why) => Outcome::Failure(why),
            };
        }
        if let Some(action) = &probe.http_get {
            return http(action, container, pod).await;
        }
        Outcome::Unsupported(
            "this node checks by httpGet and tcpSocket only; the probe counts as succeeding".to_owned(),
        )
    };
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failure(format!("no answer within {}s", limit.as_secs())),
    }
}

fn target(
    host: Option<&str>,
    port: &IntOrString,
    container: &Container,
    pod: Option<IpAddr>,
) -> Result<SocketAddr, String> {
    let named = |name: &str| {
        let ports = container.ports.iter().flatten();
        ports.filter(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port).next()
    };
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => named(name).or_else(|| name.parse().ok()),
    };
    let number = number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("no port {port:?}"))?;
    let address = match host.filter(|host| !host.is_empty()) {
        Some(host) => host.parse().map_err(|_| format!("host {host:?} is not an IP address"))?,
        None => pod.ok_or("the pod has no address")?,
    };
    Ok(SocketAddr::new(address, number))
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))
}

async fn http(action: &HTTPGetAction, container: &Container, pod: Option<IpAddr>) -> Outcome {
    if action.scheme.as_deref() == Some("HTTPS") {
        let why = "this node makes no HTTPS checks; the probe counts as succeeding";
        return Outcome::Unsupported(why.to_owned());
    }
    match target(action.host.as_deref(), &action.port, container, pod) {
        Ok(address) => match get(action, address).await {
            Ok(status) if (200..400).contains(&status) => Outcome::Success,
            Ok(status) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
            Err(why) => Outcome::Failure(why),
        },
        Err(why) => Outcome::Failure(why),
    }
}

async fn get(action: &HTTPGetAction, address: SocketAddr) -> Result<u16, String> {
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut request = hyper::Request::get(path);
    let mut has_host = false;
    for header in action.http_headers.iter().flatten() {
        has_host |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !has_host {
        request = request.header("host", address.to_string());
    }
    let request = request
        .header("user-agent", concat!("kube-probe/1.37 kontiki/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let stream = TokioIo::new(tcp(address).await?);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request);
    let mut response = std::pin::pin!(response);
    let answered = tokio::select! {
        answered = response.as_mut() => answered,
        // Ends before the answer when the peer hangs up; the answer then knows why.
        ended = connection => match ended {
            Ok(()) => response.await,
            Err(error) => return Err(error.to_string()),
        },
    };
    answered.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use serde_json::json;

    async fn outcome(probe: serde_json::Value, ports: serde_json::Value) -> Outcome {
        let probe: Probe = serde_json::from_value(probe).unwrap();
        let container: Container = serde_json::from_value(json!({ "name": "a", "ports": ports })).unwrap();
        check(&probe, &container, Some("127.0.0.1".parse().unwrap()), Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn http_codes_decide() {
        let router = axum::Router::new()
            .route("/ok", get(|| async { "fine" }))
            .route("/bad", get(|| async { axum::http::StatusCode::SERVICE_UNAVAILABLE }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::task::spawn(async move { axum::serve(listener, router).await });
        let ports = json!([{ "name": "web", "containerPort": port }]);
        let by_name = json!({ "httpGet": { "path": "ok", "port": "web" } });
        assert_eq!(outcome(by_name, ports.clone()).await, Outcome::Success);
        let bad = json!({ "httpGet": { "path": "/bad", "port": port } });
        assert_eq!(
            outcome(bad, ports.clone()).await,
            Outcome::Failure("HTTP probe failed with statuscode: 503".to_owned())
        );
        let tcp = json!({ "tcpSocket": { "port": port } });
        assert_eq!(outcome(tcp, ports.clone()).await, Outcome::Success);
        let exec = json!({ "exec": { "command": ["true"] } });
        assert!(matches!(outcome(exec, ports.clone()).await, Outcome::Unsupported(_)));
        server.abort();
        let unknown = json!({ "tcpSocket": { "port": "none" } });
        assert!(matches!(outcome(unknown, ports).await, Outcome::Failure(_)));
    }
}
