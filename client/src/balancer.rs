//! A `tower::Service` over all masters.
//!
//! One HTTP/2 connection per master in use; requests go to one ready master until it fails. A request that was never
//! sent goes to the next master whatever its verb; one that was sent is repeated only when it is a read. A write whose
//! connection broke ends with [`Error::Broken`]: its outcome is unknown and only the caller can look.
//! Streams to a dead master end with an error at once, so that a watch resumes elsewhere.
//! Does not do upgrades (exec, attach, port-forward): they need a connection of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, Uri, uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::masters::{Choice, Masters, NoMaster, SERVER_NAME};
use crate::{connection, tls};

/// How long a request waits for any master to be ready.
const WAIT_FOR_MASTER: Duration = Duration::from_secs(10);
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Each attempt needs a master that looked ready; more failures in a row than this are not bad luck.
const ATTEMPTS_MAX: usize = 8;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent.
    #[error(transparent)]
    NoMaster(#[from] NoMaster),
    /// The connection broke after the request was sent, and it is not one to repeat: its outcome is unknown.
    #[error("the connection to master {address} broke, and the outcome of the request is unknown")]
    Broken {
        /// The master it was sent to.
        address: SocketAddr,
        /// What hyper says.
        #[source]
        source: hyper::Error,
    },
    /// The request target is not a path.
    #[error("the request target is not valid")]
    Target(#[from] http::Error),
}

/// Sends each request to a ready master. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Balancer {
    masters: Masters,
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    slots: Mutex<BTreeMap<SocketAddr, Arc<Slot>>>,
}

/// One per master. The lock is held while connecting, so that a burst of requests opens one connection.
#[derive(Default)]
struct Slot {
    open: tokio::sync::Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    sender: http2::SendRequest<Body>,
    life: CancellationToken,
}

impl Balancer {
    /// A balancer over `masters`; it ends with their shutdown token.
    pub fn new(masters: Masters) -> Self {
        Self { masters, pool: Arc::default() }
    }

    /// The masters it chooses from.
    pub fn masters(&self) -> &Masters {
        &self.masters
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, Error> {
        *request.uri_mut() = absolute(request.uri())?;
        let deadline = Instant::now() + WAIT_FOR_MASTER;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let choice = self.masters.pick(deadline).await?;
            let Some(mut sender) = self.connection(&choice).await else {
                if Instant::now() >= deadline {
                    return Err(self.masters.none().into());
                }
                // It answers probes and takes no connection: not in a tight loop.
                tokio::time::sleep(RECONNECT_PAUSE).await;
                continue;
            };
            let repeat = if is_read(request.method()) { copy(&request) } else { None };
            let mut failure = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.masters.suspect(choice.address);
            match failure.take_message().or(repeat).filter(|_| attempts < ATTEMPTS_MAX) {
                Some(again) => request = again,
                None => return Err(Error::Broken { address: choice.address, source: failure.into_error() }),
            }
        }
    }

    /// The open connection to a master, or a new one. `None`: the master is suspect now, pick again.
    async fn connection(&self, choice: &Choice) -> Option<http2::SendRequest<Body>> {
        let slot = self.pool.slots.lock().entry(choice.address).or_default().clone();
        let mut open = slot.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.sender.is_closed() && !open.life.is_cancelled()) {
            return Some(open.sender.clone());
        }
        *open = None;
        match timeout(CONNECT_TIMEOUT, self.connect(choice)).await {
            Ok(Ok(sender)) => {
                *open = Some(Open { sender: sender.clone(), life: choice.life.clone() });
                Some(sender)
            }
            Ok(Err(error)) => {
                tracing::debug!(address = %choice.address, %error, "could not connect to a master");
                self.masters.suspect(choice.address);
                None
            }
            Err(_elapsed) => {
                self.masters.suspect(choice.address);
                None
            }
        }
    }

    async fn connect(&self, choice: &Choice) -> Result<http2::SendRequest<Body>, connection::Error> {
        let tls = tls::speaking(&self.masters.tls(), b"h2");
        let address = choice.address;
        let life = choice.life.clone();
        let connecting = async {
            let socket = self.masters.dial()(address).await?;
            connection::encrypted(socket, self.masters.server_name(), tls).await
        };
        let stream = tokio::select! {
            stream = connecting => stream?,
            () = life.cancelled() => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()),
        };
        let owned = Owned { masters: self.masters.clone(), life: life.clone() };
        let (sender, driver) = http2::Builder::new(owned)
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await?;
        let masters = self.masters.clone();
        self.masters.spawn(async move {
            tokio::select! {
                ended = driver => {
                    tracing::debug!(%address, error = ?ended.err(), "connection to a master ended");
                    masters.suspect(address);
                }
                () = life.cancelled() => {}
            }
        });
        Ok(sender)
    }
}

/// Runs hyper's tasks of one connection, and drops them with the life of its master: only that closes the socket under
/// streams that still wait.
#[derive(Clone)]
struct Owned {
    masters: Masters,
    life: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let life = self.life.clone();
        self.masters.spawn(async move {
            tokio::select! { _output = task => {}, () = life.cancelled() => {} }
        });
    }
}

impl tower::Service<Request<Body>> for Balancer {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A second copy to send when the first meets a dying master; `None` when the body is a stream.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// HTTP/2 wants scheme and authority; the authority is the name in every master's certificate.
fn absolute(target: &Uri) -> Result<Uri, http::Error> {
    let path = target.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    Uri::builder().scheme("https").authority(SERVER_NAME).path_and_query(path).build()
}
