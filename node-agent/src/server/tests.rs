use std::collections::BTreeMap;
use std::path::Path;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::*;
use axum::routing::get as get_route;

/// A configuration whose paths are all `dir`.
pub(super) fn config(dir: &Path, client: kube::Client) -> Config {
    Config {
        node_name: "n1".into(),
        node_ip: "127.0.0.1".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        dir: dir.into(),
        run_dir: dir.into(),
        log_dir: dir.into(),
        images_dir: dir.into(),
        insecure_registries: Vec::new(),
        cgroup_root: "none".into(),
        client,
        tls: ServerTls { certificate: vec![], key: vec![], client_ca: vec![] },
        cluster_domain: "cluster.local".into(),
        cluster_dns: vec![],
        labels: BTreeMap::new(),
        max_pods: 110,
        lease_renewal: Duration::from_secs(3),
        lease_duration: Duration::from_secs(10),
    }
}

/// An authority that signs the server's and the clients' certificates.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, user: &str, group: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["n1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// An API that allows to get `nodes/proxy` to the user `metrics` only, and to create it to `executor`.
fn reviewer() -> kube::Client {
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut review: SubjectAccessReview = serde_json::from_slice(&body).unwrap();
        let verb = review.spec.resource_attributes.as_ref().and_then(|attributes| attributes.verb.as_deref());
        let asked = (review.spec.user.as_deref(), verb);
        let allowed = matches!(asked, (Some("metrics"), Some("get")) | (Some("executor"), Some("create")));
        review.status = Some(serde_json::from_value(serde_json::json!({ "allowed": allowed })).unwrap());
        let text = serde_json::to_vec(&review).unwrap();
        Ok::<_, std::io::Error>(http::Response::builder().status(201).body(kube::client::Body::from(text)).unwrap())
    });
    kube::Client::new(service, "default")
}

async fn get(address: SocketAddr, authority: &Authority, identity: Option<(&str, &str)>, path: &str) -> u16 {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        Some((user, group)) => {
            let (certificate, key) = authority.sign(user, group);
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("n1").unwrap(), stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::task::spawn(connection);
    let request = http::Request::get(path).header("host", "n1").body(Empty::<Bytes>::new()).unwrap();
    let status = sender.send_request(request).await.unwrap().status().as_u16();
    connection.abort();
    status
}

#[tokio::test]
async fn certificates_decide_who_may_ask() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("system:node:n1", "system:nodes");
    let tls = ServerTls {
        certificate: certificate.into_bytes(),
        key: key.into_bytes(),
        client_ca: authority.certificate.clone().into_bytes(),
    };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), &tls).await.unwrap();
    let address = server.address();
    let dir = tempfile::tempdir().unwrap();
    let api = Api { config: Arc::new(config(dir.path(), reviewer())), pods: PodTable::default() };
    let further = Router::new().route("/exec/{namespace}/{pod}/{container}", get_route(|| async { "" }));
    let shutdown = CancellationToken::new();
    let serving = tokio::task::spawn(server.run(api, further, shutdown.clone()));
    for (identity, path, status) in [
        (None, "/healthz", 200),
        (None, "/pods", 401),
        (None, "/nothing", 404),
        (Some(("kontiki:kubelet-client", "masters")), "/pods", 200),
        (Some(("admin", "system:masters")), "/metrics", 200),
        (Some(("metrics", "tools")), "/metrics", 200),
        (Some(("stranger", "tools")), "/metrics", 403),
        (Some(("admin", "system:masters")), "/containerLogs/shop/none/a", 404),
        (None, "/exec/shop/none/a", 401),
        (Some(("metrics", "tools")), "/exec/shop/none/a", 403),
        (Some(("executor", "tools")), "/exec/shop/none/a", 200),
    ] {
        assert_eq!(get(address, &authority, identity, path).await, status, "{identity:?} {path}");
    }
    shutdown.cancel();
    serving.await.unwrap();
}

#[test]
fn unusable_certificates_are_named() {
    let tls = ServerTls { certificate: vec![], key: vec![], client_ca: b"no pem".to_vec() };
    let error = tls::server_config(&tls).unwrap_err().to_string();
    assert!(error.contains("client authority"), "{error}");
}
