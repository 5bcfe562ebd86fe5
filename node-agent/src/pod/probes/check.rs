//! One check: a TCP connection, an HTTP or a gRPC request from the node to the pod, or a program in the container.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::pod_tls;
use crate::runtime::Ran;

/// How a check went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure(String),
    /// The check could not be made; this counts neither way.
    Unknown(String),
}

/// Runs programs in the containers of one pod: the container's id, the program, how long it may take.
pub(crate) type Programs =
    Arc<dyn Fn(String, Vec<String>, Duration) -> BoxFuture<'static, Result<Ran, String>> + Send + Sync>;

/// What is checked.
pub(super) struct Target<'a> {
    pub(super) container: &'a Container,
    pub(super) id: &'a str,
    /// The pod's address.
    pub(super) address: Option<IpAddr>,
}

pub(super) async fn check(probe: &Probe, at: &Target<'_>, programs: &Programs, limit: Duration) -> Outcome {
    let (container, pod) = (at.container, at.address);
    if let Some(action) = &probe.exec {
        let command = action.command.clone().unwrap_or_default();
        return judge(&command, programs(at.id.to_owned(), command.clone(), limit).await, limit);
    }
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
        if let Some(action) = &probe.grpc {
            return match target(None, &IntOrString::Int(action.port), container, pod) {
                Ok(address) => super::grpc::check(address, action.service.as_deref().unwrap_or_default()).await,
                Err(why) => Outcome::Failure(why),
            };
        }
        Outcome::Unknown("the probe names no way to check".to_owned())
    };
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failure(format!("no answer within {}s", limit.as_secs())),
    }
}

fn judge(command: &[String], ran: Result<Ran, String>, limit: Duration) -> Outcome {
    match ran {
        Ok(Ran { code: Some(0), .. }) => Outcome::Success,
        Ok(Ran { code: Some(_), output }) => Outcome::Failure(output.trim_end().to_owned()),
        Ok(Ran { code: None, .. }) => {
            Outcome::Failure(format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs()))
        }
        Err(why) => Outcome::Unknown(why),
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
    match http_get(action, container, pod).await {
        Ok(status) if (200..400).contains(&status) => Outcome::Success,
        Ok(status) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        Err(why) => Outcome::Failure(why),
    }
}

/// Makes the request, and returns the answer's status code.
pub(crate) async fn http_get(
    action: &HTTPGetAction,
    container: &Container,
    pod: Option<IpAddr>,
) -> Result<u16, String> {
    get(action, target(action.host.as_deref(), &action.port, container, pod)?).await
}

/// For tests of checks that run none.
#[cfg(test)]
pub(super) fn no_programs() -> Programs {
    Arc::new(|_, _, _| Box::pin(async { Err("there are no programs".to_owned()) }))
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
    let tcp = tcp(address).await?;
    if action.scheme.as_deref() == Some("HTTPS") {
        let tls = pod_tls::connect(tcp, address.ip()).await;
        return send(tls.map_err(|error| format!("TLS with {address}: {error}"))?, request).await;
    }
    send(tcp, request).await
}

async fn send(
    io: impl AsyncRead + AsyncWrite + Send + Unpin,
    request: hyper::Request<Empty<Bytes>>,
) -> Result<u16, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|error| error.to_string())?;
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
        let at = Target { container: &container, id: "id", address: Some("127.0.0.1".parse().unwrap()) };
        check(&probe, &at, &programs(), Duration::from_secs(5)).await
    }

    /// `true` ends well, `slow` takes too long, `none` cannot be run; anything else says its name and ends badly.
    fn programs() -> Programs {
        Arc::new(|id, command, _| {
            Box::pin(async move {
                let (code, output) = match command[0].as_str() {
                    "true" => (Some(0), String::new()),
                    "slow" => (None, String::new()),
                    "none" => return Err("not found".to_owned()),
                    other => (Some(1), format!("{other} in {id}\n")),
                };
                Ok(Ran { code, output })
            })
        })
    }

    #[tokio::test]
    async fn exit_codes_decide() {
        for (program, expected) in [
            ("true", Outcome::Success),
            ("false", Outcome::Failure("false in id".to_owned())),
            ("slow", Outcome::Failure("command timed out: \"slow\" timed out after 5s".to_owned())),
            ("none", Outcome::Unknown("not found".to_owned())),
        ] {
            assert_eq!(outcome(json!({ "exec": { "command": [program] } }), json!([])).await, expected, "{program}");
        }
    }

    #[tokio::test]
    async fn https_asks_whoever_answers() {
        let key = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
        let (certificate, key) = (key.cert.der().clone(), key.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key).unwrap();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(tls) = acceptor.accept(tcp).await else { continue };
                let router = axum::Router::new().route("/ok", get(|| async { "fine" }));
                let service = hyper_util::service::TowerToHyperService::new(router);
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service);
                connection.await.ok();
            }
        });
        let asks = |scheme: &str| json!({ "httpGet": { "path": "/ok", "port": port, "scheme": scheme } });
        assert_eq!(outcome(asks("HTTPS"), json!([])).await, Outcome::Success);
        assert!(matches!(outcome(asks("HTTP"), json!([])).await, Outcome::Failure(_)), "it speaks TLS alone");
        server.abort();
        let gone = outcome(asks("HTTPS"), json!([])).await;
        assert!(matches!(gone, Outcome::Failure(_)), "{gone:?}");
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
        assert_eq!(outcome(exec, ports.clone()).await, Outcome::Success);
        server.abort();
        let unknown = json!({ "tcpSocket": { "port": "none" } });
        assert!(matches!(outcome(unknown, ports).await, Outcome::Failure(_)));
    }
}
