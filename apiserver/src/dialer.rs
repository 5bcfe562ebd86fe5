//! The way from a master to the agent of a node.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const CONNECT: Duration = Duration::from_secs(10);

/// A connection to an agent.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Opens connections to agents, secured and with the agent's identity checked.
#[async_trait]
pub trait NodeDialer: Send + Sync {
    /// Connects to `port` of the node `name`, which says it has this address.
    async fn connect(&self, name: &str, address: IpAddr, port: u16) -> io::Result<Box<dyn Connection>>;
}

/// Connects straight to the node's address, with this server's kubelet-client certificate.
#[derive(Clone)]
pub struct DirectDialer {
    tls: TlsConnector,
}

impl DirectDialer {
    /// A dialer that presents and checks the certificates of `tls`.
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: tls.into() }
    }
}

#[async_trait]
impl NodeDialer for DirectDialer {
    async fn connect(&self, name: &str, address: IpAddr, port: u16) -> io::Result<Box<dyn Connection>> {
        let connect = async {
            let tcp = TcpStream::connect((address, port)).await?;
            tcp.set_nodelay(true)?;
            // The certificate is checked against the node's name: its address may change, and another may get it.
            let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            let tls = self.tls.connect(server, tcp).await?;
            Ok::<Box<dyn Connection>, io::Error>(Box::new(tls))
        };
        timeout(CONNECT, connect).await?
    }
}
