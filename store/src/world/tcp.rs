//! Mutual TLS over TCP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::{sync::watch, task::JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tonic::{
    Status,
    transport::{Endpoint, Server as TonicServer, Uri},
};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::{Audience, BoxError, Network, PeerChannel, Port, Serving, Socket, Sockets, Traffic};
use crate::{
    StartError, TlsError,
    config::{Config, Tls},
    gathering::Gathering,
    listener::Listener,
    tls::Credentials,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that answers no ping this long is taken for gone, so that its streams end.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes in flight: a round trip of 10 ms at 10 Gbit/s.
const WINDOW_BYTES: u32 = 12 << 20;

/// The ports of one member, and its certificates.
pub struct Tcp {
    sockets: Arc<dyn Sockets>,
    credentials: Arc<Credentials>,
    /// Taken when served.
    ports: Mutex<Vec<(Audience, Box<dyn Port>)>>,
}

impl Tcp {
    /// Takes the member's ports.
    ///
    /// # Errors
    /// Certificates that cannot be used, and ports that are taken.
    pub async fn bind(config: &Config, sockets: Arc<dyn Sockets>) -> Result<Self, StartError> {
        let credentials = Arc::new(Credentials::new(config.cluster_id, config.member_id, &config.tls)?);
        let bind = async |address: SocketAddr| {
            sockets.bind(address).await.map_err(|source| StartError::Listen { address, source })
        };
        let ports = vec![
            (Audience::Peers, bind(config.peer_listen).await?),
            (Audience::Clients, bind(config.client_listen).await?),
        ];
        Ok(Self { sockets, credentials, ports: Mutex::new(ports) })
    }
}

impl Network for Tcp {
    fn channel(&self, member: u64, url: &str, _traffic: Traffic) -> Result<PeerChannel, BoxError> {
        let bad = || format!("member {member:016x} has the peer URL {url:?}, which is not https://host:port");
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|authority| authority.port().is_some()).ok_or_else(bad)?;
        let address = Arc::<str>::from(authority.as_str());
        let connector = TlsConnector::from(Arc::new(self.credentials.client(member)?));
        let sockets = self.sockets.clone();
        // The connector does TLS itself, so the channel must not ask for it.
        let endpoint = Endpoint::from_static("http://member")
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (sockets, connector, address) = (sockets.clone(), connector.clone(), address.clone());
            async move { connect(&*sockets, &connector, &address).await.map(TokioIo::new) }
        }));
        Ok(BoxCloneSyncService::new(channel.map_err(|error| Status::from_error(error.into()))))
    }

    fn serve(&self, serving: Serving) -> Result<BoxFuture<'static, ()>, StartError> {
        let Serving { audience, routes, last_call, shutdown, closed } = serving;
        let mut ports = self.ports.lock();
        let at = ports.iter().position(|(of, _)| *of == audience);
        let (_, port) = at
            .map(|at| ports.swap_remove(at))
            .ok_or_else(|| StartError::Raft(format!("the port for {audience:?} is served already")))?;
        let listener = Listener {
            port,
            audience,
            credentials: self.credentials.clone(),
            acceptor: TlsAcceptor::from(Arc::new(self.credentials.server()?)),
            last_call: last_call.clone(),
            shutdown,
            closed,
        };
        let mut accepting = JoinSet::new();
        let incoming = listener.incoming(&mut accepting);
        Ok(Box::pin(async move {
            let served = TonicServer::builder()
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, last_call.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "a port is no longer served");
            }
            while accepting.join_next().await.is_some() {}
        }))
    }

    fn successor(&self) -> Option<watch::Receiver<Option<u64>>> {
        Some(self.credentials.successor())
    }

    fn replace_certificate(&self, tls: &Tls) -> Result<(), TlsError> {
        self.credentials.replace(tls)
    }
}

async fn connect(
    sockets: &dyn Sockets,
    connector: &TlsConnector,
    address: &str,
) -> std::io::Result<Gathering<TlsStream<Box<dyn Socket>>>> {
    let stream = sockets.connect(address).await?;
    // The name only fills the handshake's field: the verifier checks who answers, not where.
    let name = ServerName::try_from("member").map_err(std::io::Error::other)?;
    Ok(Gathering::new(connector.connect(name, stream).await?))
}
