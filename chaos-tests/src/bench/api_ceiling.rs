//! A server that answers the API's loads without work: what is left is TLS, HTTP and copying the answer.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use kontiki::pki::Pair;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::api::{COLLECTION, OBJECTS, config_map, name};

/// Serves until the process is ended. `folder` holds `ca.crt` and `server.{crt,key}`.
///
/// # Errors
/// When the address is taken or a certificate cannot be read.
pub async fn serve(address: SocketAddr, folder: &Path) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(folder)?));
    let listener = TcpListener::bind(address).await?;
    let answers = Arc::new(Answers::new());
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, answers) = (acceptor.clone(), answers.clone());
        drop(tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let service = service_fn(move |request| answer(answers.clone(), request));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no news here.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }));
    }
}

fn tls(folder: &Path) -> Result<ServerConfig> {
    let authority = CertificateDer::from_pem_file(folder.join("ca.crt")).context("ca.crt")?;
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let server = Pair::load(folder, "server")?;
    let chain = CertificateDer::pem_slice_iter(server.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    Ok(ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key)?)
}

/// The bodies of all answers, made once.
struct Answers {
    one: Bytes,
    list: Bytes,
}

impl Answers {
    fn new() -> Self {
        let one = config_map(&name(0), 0);
        let items = vec![one.as_ref(); usize::try_from(OBJECTS).unwrap_or_default()].join(&b',');
        let list = [br#"{"kind":"ConfigMapList","apiVersion":"v1","items":["#.as_slice(), &items, b"]}"].concat();
        Self { one, list: list.into() }
    }
}

async fn answer(answers: Arc<Answers>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_list = request.method() == Method::GET && request.uri().path() == COLLECTION;
    let created = request.method() == Method::POST;
    // The body is taken off the wire, as every server has to.
    drop(request.into_body().collect().await);
    let body = if is_list { &answers.list } else { &answers.one };
    let mut response = Response::new(Full::new(body.clone()));
    *response.status_mut() = if created { StatusCode::CREATED } else { StatusCode::OK };
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
