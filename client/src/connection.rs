//! One TLS connection to one master for small questions: the prober's and the learner's.
//! HTTP/1.1, one request at a time; dropping it closes the socket.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// An EndpointSlice of a thousand masters stays far below.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("connecting failed")]
    Connect(#[from] std::io::Error),
    #[error("the exchange failed")]
    Http(#[from] hyper::Error),
    #[error("the request could not be built")]
    Request(#[from] http::Error),
    #[error("reading the answer failed")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(crate) struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    pub(crate) async fn open(
        address: SocketAddr,
        name: ServerName<'static>,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, Error> {
        let stream = dial(address, name, tls).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%address, %error, "probe connection ended");
            }
        }));
        Ok(Self { sender, _driver: driver })
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Result<(StatusCode, Bytes), Error> {
        self.sender.ready().await?;
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "kontiki-balancer")
            .body(Empty::new())?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(Error::Answer)?;
        Ok((status, body.to_bytes()))
    }
}

/// A TCP and TLS handshake.
pub(crate) async fn dial(
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(tls).connect(name, stream).await
}
