//! One TLS connection to one master for small questions: the prober's and the learner's.
//! HTTP/1.1, one request at a time; dropping it closes the socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// An EndpointSlice of a thousand masters stays far below.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One end of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Connects to an address: by the machine's TCP, or on a simulated network.
pub type Dial = dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Socket>>> + Send + Sync;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("connecting failed")]
    Connect(#[from] io::Error),
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
        dial: &Dial,
        address: SocketAddr,
        name: ServerName<'static>,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, Error> {
        let stream = encrypted(dial(address).await?, name, tls).await?;
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

/// This machine's TCP.
pub(crate) fn tcp(address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Socket>>> {
    async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream) as Box<dyn Socket>)
    }
    .boxed()
}

/// Shakes hands over a new connection.
pub(crate) async fn encrypted(
    socket: Box<dyn Socket>,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
) -> io::Result<TlsStream<Box<dyn Socket>>> {
    TlsConnector::from(tls).connect(name, socket).await
}
