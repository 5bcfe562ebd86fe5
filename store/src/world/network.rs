//! How members and clients reach a member.
//!
//! Everything between members is gRPC, and a channel is anything that answers HTTP requests: over TCP it is tonic's, in a
//! simulation a function call with delays and losses.

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;

use crate::{StartError, TlsError, config::Tls};

/// Why a member cannot be called at all.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Calls to one member, connected when first used, again after a loss.
pub type PeerChannel =
    BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<tonic::body::Body>, tonic::Status>;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Small and urgent: heartbeats, votes, read indexes.
    Control,
    /// Entries, proposals, snapshots.
    Bulk,
}

/// Whom a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Members only.
    Peers,
    /// Members and clients of the store.
    Clients,
}

/// Who a request comes from, as its certificate says. Stands among the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The member with this id.
    Member(u64),
    /// A client.
    Client(String),
}

/// One port of a member.
pub struct Serving {
    /// Whom it is for.
    pub audience: Audience,
    /// What it answers.
    pub routes: Routes,
    /// Nothing new is taken from then on; what was asked before is answered.
    pub last_call: CancellationToken,
    /// The end of it.
    pub shutdown: CancellationToken,
    /// Told of every connection that ends.
    pub closed: Option<mpsc::Sender<Subject>>,
}

/// See the module's documentation.
pub trait Network: Send + Sync {
    /// Calls to a member at a URL, and to nobody else there.
    fn channel(&self, member: u64, url: &str, traffic: Traffic) -> Result<PeerChannel, BoxError>;

    /// Begins to serve a port; the future ends after the shutdown, once nothing is served any more.
    fn serve(&self, serving: Serving) -> Result<futures_util::future::BoxFuture<'static, ()>, StartError>;

    /// Shows another certificate from the next connection on.
    fn replace_certificate(&self, tls: &Tls) -> Result<(), TlsError>;

    /// Tells when a member of a cluster was met that took the place of this one, and which cluster that is.
    fn successor(&self) -> Option<watch::Receiver<Option<u64>>> {
        None
    }
}

/// A network without anybody on it.
pub(crate) struct Nobody;

impl Network for Nobody {
    fn channel(&self, _member: u64, url: &str, _traffic: Traffic) -> Result<PeerChannel, BoxError> {
        Err(format!("nobody is at {url}").into())
    }

    fn serve(&self, serving: Serving) -> Result<futures_util::future::BoxFuture<'static, ()>, StartError> {
        Ok(Box::pin(serving.shutdown.cancelled_owned()))
    }

    fn replace_certificate(&self, _tls: &Tls) -> Result<(), TlsError> {
        Ok(())
    }
}
