//! One client of the Kubernetes API at one address: HTTP/1.1, one request at a time, nothing retried.
//!
//! The harness judges what a client sees, so its clients do nothing by themselves that would hide it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client::Kubeconfig;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;

/// A client; it connects at its first request.
pub(crate) struct Api {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls, sender: None }
    }

    /// Of the address that the current context names, with the administrator's certificate: what kubectl uses.
    pub(crate) fn of_kubeconfig(kubeconfig: &Kubeconfig) -> Result<Self> {
        let server = kubeconfig.access(None)?.server;
        let address = server.trim_start_matches("https://").parse().context("the kubeconfig's server")?;
        Ok(Self::new(address, certificate(kubeconfig)?))
    }

    /// The answer, whole.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The answer's body as it comes.
    pub(crate) async fn stream(&mut self, path: &str) -> Result<Incoming> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        ensure!(response.status().is_success(), "status {}", response.status());
        Ok(response.into_body())
    }

    /// The next request takes a new connection.
    pub(crate) fn forget(&mut self) {
        self.sender = None;
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<http::Response<Incoming>> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            None => self.sender.insert(connect(self.address, &self.tls).await?),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "kubernetes")
            .header("user-agent", "kontiki-chaos")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        Ok(sender.send_request(request).await?)
    }
}

/// What the kubeconfig's inline certificate shows and trusts.
pub(crate) fn certificate(kubeconfig: &Kubeconfig) -> Result<Arc<ClientConfig>> {
    let inline = kubeconfig.masters().into_iter().next().context("the kubeconfig holds no inline certificate")?;
    let identity = inline.identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
    Ok(client::tls::client_config(&inline.authority_pem, identity)?)
}

async fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<SendRequest<Full<Bytes>>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let tls = tokio_rustls::TlsConnector::from(tls.clone());
    let stream = tls.connect(ServerName::try_from("kubernetes")?, tcp).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with its sender and its last body.
    drop(tokio::spawn(connection));
    Ok(sender)
}
