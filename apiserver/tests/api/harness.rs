//! One API server over a single-member store, and two ways to talk to it.

use std::{collections::BTreeMap, io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use api::surroundings::Surroundings;
use apiserver::{ApiServer, Config, Connection, Fence, MASTERS, NodeDialer, RuntimeConfig, UserInfo};
use async_trait::async_trait;
use axum::body::Body;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serde_json::Value;
use store::{Limits, Start, Store, Timing, Tls};
use tempfile::TempDir;
use testing::free_address;
use tower::ServiceExt;

pub(crate) const SOON: Duration = Duration::from_secs(20);
const CLUSTER: u64 = 7;
const MEMBER: u64 = 1;

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, PEM.
    pub(crate) fn issue(&self, name: &str, groups: &[&str], uris: &[String]) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))];
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Agents that answer every request with its own path and query, and refuse what holds the word "refuse".
struct Echo;

#[async_trait]
impl NodeDialer for Echo {
    async fn connect(&self, name: &str, address: IpAddr, port: u16) -> io::Result<Box<dyn Connection>> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let place = format!("{name} {address}:{port}");
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let uri = request.uri().to_string();
            let code = if uri.contains("refuse") { 400 } else { 200 };
            let response = Response::builder().status(code).body(format!("{place} {uri}\n"));
            async move { response }
        });
        let io = hyper_util::rt::TokioIo::new(far);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        Ok(Box::new(near))
    }
}

/// A running server.
pub(crate) struct Fixture {
    pub(crate) server: ApiServer,
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
}

async fn start_store(dir: PathBuf) -> Store {
    let authority = Authority::new("store");
    let uri = format!("kontiki://{CLUSTER:016x}/member/{MEMBER:016x}");
    let (cert_pem, key_pem) = authority.issue("member", &[], &[uri]);
    let (peer_listen, client_listen) = (free_address(), free_address());
    let config = store::Config {
        dir,
        cluster_id: CLUSTER,
        member_id: MEMBER,
        name: "one".into(),
        peer_listen,
        client_listen,
        peer_url: format!("https://{peer_listen}"),
        client_url: format!("https://{client_listen}"),
        tls: Tls { ca_pem: authority.pem.clone(), cert_pem, key_pem, clock: std::time::SystemTime::now },
        start: Start::Init,
        introduced: BTreeMap::new(),
        timing: Timing::default(),
        limits: Limits::default(),
    };
    Store::start(config).await.unwrap()
}

impl Fixture {
    /// A server that is ready.
    pub(crate) async fn start() -> Self {
        Self::serving(&[]).await
    }

    /// A server with these switches of `--runtime-config`.
    pub(crate) async fn serving(switches: &[&str]) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        let dir = tempfile::tempdir().unwrap();
        let store = start_store(dir.path().join("store")).await;
        Self::over(store, dir, RuntimeConfig::parse(switches).unwrap()).await
    }

    /// Another server, which learns from the store alone what this one does.
    pub(crate) async fn another(&self) -> Self {
        Self::over(self.store.clone(), tempfile::tempdir().unwrap(), RuntimeConfig::default()).await
    }

    async fn over(store: Store, dir: TempDir, runtime_config: RuntimeConfig) -> Self {
        let port = free_address().port();
        let config = Config {
            member_id: MEMBER,
            name: "one".into(),
            advertise_address: [127, 0, 0, 1].into(),
            port,
            service_cidrs: vec!["10.96.0.0/24".parse().unwrap()],
            node_ports: Config::NODE_PORTS,
            issuer: "https://kubernetes.default.svc".into(),
            token_keys: vec![KeyPair::generate().unwrap().serialize_der()],
            master_key: [42; 32],
            cluster_ca: "the authority".into(),
            unreachable_toleration_seconds: Config::UNREACHABLE_TOLERATION_SECONDS,
            runtime_config,
            surroundings: Surroundings::real(),
            dialer: Arc::new(Echo),
        };
        let server = apiserver::router(store.clone(), config).unwrap();
        let fixture = Self { server, store, dir, port };
        testing::eventually(SOON, async || {
            if fixture.server.is_ready() { Ok(()) } else { Err(fixture.get("/readyz?verbose").await.text()) }
        })
        .await;
        fixture
    }

    pub(crate) fn admin() -> Arc<UserInfo> {
        UserInfo::new("admin", [MASTERS])
    }

    /// Sends a request as the administrator.
    pub(crate) async fn send(&self, method: Method, path: &str, kind: &str, body: impl ToString) -> Answer {
        self.send_as(Some(Self::admin()), method, path, kind, body).await
    }

    /// Sends a request as somebody.
    pub(crate) async fn send_as(
        &self,
        user: Option<Arc<UserInfo>>,
        method: Method,
        path: &str,
        kind: &str,
        body: impl ToString,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
        request = request.header(header::USER_AGENT, "test/1.0");
        if let Some(user) = user {
            request = request.extension(user);
        }
        self.call(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Sends a request that takes effect in one term only.
    pub(crate) async fn post_fenced(&self, term: u64, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).extension(Self::admin()).extension(Fence { term });
        self.call(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Reads as the administrator, with headers of one's own.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path).extension(Self::admin());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let warnings = parts.headers.get_all(header::WARNING).iter();
        let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
        Answer { code: parts.status, body: body.to_vec(), warnings, headers: parts.headers }
    }

    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.server.router().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, "application/json", body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, "application/json", body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/merge-patch+json", body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "application/json", "").await
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Events {
        let request = Request::get(path).extension(Self::admin()).body(Body::empty()).unwrap();
        let response = self.open(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: StreamExt::boxed(response.into_body().into_data_stream()), rest: Vec::new() }
    }
}

/// An answer that came to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) body: Vec<u8>,
    pub(crate) warnings: Vec<String>,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body, if the code is as expected.
    pub(crate) fn expect(&self, code: u16) -> Value {
        assert_eq!(self.code.as_u16(), code, "{}", self.text());
        self.json()
    }

    /// A header's text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message of a failure with this code.
    pub(crate) fn refusal(&self, code: u16) -> String {
        self.expect(code)["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// The events of a watch.
pub(crate) struct Events {
    body: futures_util::stream::BoxStream<'static, Result<bytes::Bytes, axum::Error>>,
    rest: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let piece = tokio::time::timeout(SOON, self.body.next()).await.expect("no event came")?;
            self.rest.extend_from_slice(&piece.unwrap());
        }
    }

    /// The next event's type, and the object's name and value of `data.a`.
    pub(crate) async fn summary(&mut self) -> String {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["object"];
        format!("{} {} {}", text(&event["type"]), text(&object["metadata"]["name"]), text(&object["data"]["a"]))
    }
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A ConfigMap with one entry.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": value },
    })
}

/// The path of a ConfigMap.
pub(crate) fn config_map_path(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}
