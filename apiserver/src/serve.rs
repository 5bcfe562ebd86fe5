//! The listener: TLS with optional client certificates, HTTP/1.1 with upgrades and HTTP/2 on one port.
//!
//! Bounded in connections, in the time a handshake and a request's header may take, and in the time a drain may take.
//! A false certificate never gets here: the TLS configuration's verifier refuses it.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::authentication::x509;

const MAX_CONNECTIONS: usize = 8192;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(10);
/// A streaming client (one watch a kind, many kinds) needs far more than HTTP/2's usual hundred.
const STREAMS: u32 = 1000;

/// Where connections come in: the machine's TCP, or that of a simulated network.
pub trait Port: Send + Sync {
    /// One end of a connection.
    type Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Port for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Nothing waits for more to send with it.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Serves `router` until `shutdown`, then lets requests in flight finish for a bounded time.
pub async fn serve(
    port: impl Port,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&port, &permits) => accepted,
        };
        let Some((socket, permit)) = accepted else { continue };
        let connection = connection(socket, acceptor.clone(), router.clone(), shutdown.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(port);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections did not end in time");
    }
    Ok(())
}

/// Waits for a free place before taking the next connection off the queue of the kernel.
async fn accept<P: Port>(port: &P, permits: &Arc<Semaphore>) -> Option<(P::Socket, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match port.accept().await {
        Ok(socket) => Some((socket, permit)),
        Err(error) => {
            // Out of descriptors, mostly: give the connections that end a moment.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE, acceptor.accept(socket)) => accepted,
        // Nothing has been asked yet that would have to be answered.
        () = shutdown.cancelled() => return,
    };
    let tls = match accepted {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let identity = tls.get_ref().1.peer_certificates().and_then(|chain| x509::identity(chain.first()?));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if let Some(user) = &identity {
            request.extensions_mut().insert(user.clone());
        }
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).adaptive_window(true);
    builder.http2().keep_alive_interval(Duration::from_secs(30)).keep_alive_timeout(Duration::from_secs(15));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(tls), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}
