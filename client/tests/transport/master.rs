//! A server that looks like a master.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::routing::{any, get};
use futures_util::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An authority of its own for each test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        client::tls::client_config(self.issuer.pem().as_bytes(), None).unwrap()
    }

    fn server(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["kubernetes".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// See the module's documentation.
pub(crate) struct Master {
    pub(crate) address: SocketAddr,
    frozen: watch::Sender<bool>,
    /// How many requests came to `/count`.
    pub(crate) counted: Arc<AtomicUsize>,
    alive: Option<DropGuard>,
    /// What the EndpointSlice names.
    pub(crate) masters: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Master {
    pub(crate) async fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (frozen, thaw) = watch::channel(false);
        let counted = Arc::new(AtomicUsize::new(0));
        let masters = Arc::new(Mutex::new(vec![address]));
        let router = router(address, thaw, counted.clone(), masters.clone());
        let token = CancellationToken::new();
        tokio::spawn(serve(listener, authority.server(), router, token.clone()));
        Self { address, frozen, counted, alive: Some(token.drop_guard()), masters }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.alive = None;
    }

    /// As `kill -STOP` does.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }
}

fn router(
    address: SocketAddr,
    thaw: watch::Receiver<bool>,
    counted: Arc<AtomicUsize>,
    masters: Arc<Mutex<Vec<SocketAddr>>>,
) -> Router {
    let slice = move || {
        let masters = masters.lock();
        let port = masters.first().map(SocketAddr::port);
        let endpoints: Vec<_> = masters.iter().map(|master| json!({"addresses": [master.ip()]})).collect();
        let ports = json!([{"name": "https", "port": port}]);
        let body = json!({"addressType": "IPv4", "endpoints": endpoints, "ports": ports, "metadata": {}});
        std::future::ready(body.to_string())
    };
    let drip = || async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b"drop\n")), ()))
        });
        Body::from_stream(drops.boxed())
    };
    let hang = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    };
    Router::new()
        .route("/readyz", get(|| async { "ok" }))
        .route("/name", any(move || async move { format!("{address}\n") }))
        .route("/drip", get(drip))
        .route("/hang", any(hang))
        .route("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", get(slice))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let mut thaw = thaw.clone();
            async move {
                thaw.wait_for(|frozen| !frozen).await.unwrap();
                next.run(request).await
            }
        }))
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = stop.cancelled() => return,
        };
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            let connection = async {
                let Ok(stream) = tls.accept(stream).await else { return };
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await.ok();
            };
            tokio::select! { () = connection => {}, () = stop.cancelled() => {} }
        });
    }
}
