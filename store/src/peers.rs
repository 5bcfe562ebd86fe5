//! Connections to the other members.
//!
//! Each member is reached over two connections, so that a heartbeat never waits behind a megabyte of entries. A connection is
//! made when first used and again when it is lost.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proto::raftpb::raft_client::RaftClient;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{
    raft::type_config::MemberInfo,
    tls::{Credentials, TlsError},
};

/// One message: the largest is a batch of entries.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that answers no ping this long is taken for gone, so that its streams end.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes in flight: a round trip of 10 ms at 10 Gbit/s.
const WINDOW_BYTES: u32 = 12 << 20;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// Small and urgent: heartbeats, votes, read indexes.
    Control,
    /// Entries, proposals, snapshots.
    Bulk,
}

struct Connection {
    url: String,
    channel: Channel,
}

#[derive(Default)]
struct State {
    addresses: BTreeMap<u64, MemberInfo>,
    connections: BTreeMap<(u64, Traffic), Connection>,
}

/// The connections of one member; clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    credentials: Arc<Credentials>,
    state: Arc<Mutex<State>>,
}

impl Peers {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials, state: Arc::default() }
    }

    /// Where a member is, unless that is known already.
    pub(crate) fn learn(&self, id: u64, info: &MemberInfo) {
        self.state.lock().addresses.entry(id).or_insert_with(|| info.clone());
    }

    /// Where the members are, as the membership has it. Connections to others are forgotten.
    pub(crate) fn set_addresses(&self, addresses: BTreeMap<u64, MemberInfo>) {
        let mut state = self.state.lock();
        state.connections.retain(|(id, _), _| addresses.contains_key(id));
        state.addresses = addresses;
    }

    /// A client of the member, connected when it is first used.
    pub(crate) fn client(&self, id: u64, traffic: Traffic) -> Result<RaftClient<Channel>, PeerError> {
        let mut state = self.state.lock();
        let url =
            state.addresses.get(&id).and_then(|info| info.peer_urls.first()).ok_or(PeerError::NoAddress(id))?.clone();
        let channel = match state.connections.get(&(id, traffic)).filter(|connection| connection.url == url) {
            Some(connection) => connection.channel.clone(),
            None => {
                let channel = connect_lazily(&self.credentials, id, &url)?;
                state.connections.insert((id, traffic), Connection { url, channel: channel.clone() });
                channel
            }
        };
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }
}

/// Why a member cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("member {0:016x} has no known peer URL")]
    NoAddress(u64),
    #[error("member {id:016x} has the peer URL {url:?}, which is not https://host:port")]
    BadAddress { id: u64, url: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn connect_lazily(credentials: &Arc<Credentials>, id: u64, url: &str) -> Result<Channel, PeerError> {
    let bad = || PeerError::BadAddress { id, url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let authority = uri.authority().filter(|authority| authority.port().is_some()).ok_or_else(bad)?;
    let address = Arc::<str>::from(authority.as_str());
    let connector = TlsConnector::from(Arc::new(credentials.client(id)?));
    // The connector does TLS itself, so the channel must not ask for it.
    let endpoint = Endpoint::from_static("http://member")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (connector, address) = (connector.clone(), address.clone());
        async move { connect(&connector, &address).await.map(TokioIo::new) }
    })))
}

async fn connect(connector: &TlsConnector, address: &str) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // The name only fills the handshake's field: the verifier checks who answers, not where.
    let name = ServerName::try_from("member").map_err(io::Error::other)?;
    connector.connect(name, stream).await
}
