//! Accepts TLS connections and tells the services whom each comes from.
//!
//! tonic's own listener can neither set TCP_NODELAY on a stream it did not accept nor read our identities; this one does both.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::{
    gathering::Gathering,
    tls::Credentials,
    world::{Audience, Port, Socket, Subject},
};

/// Strangers that may shake hands at once: a handshake costs about a millisecond of one core.
const HANDSHAKES_MAX: usize = 128;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Accepted connections waiting for tonic, which takes them at once.
const ACCEPTED_MAX: usize = 16;

/// A connection whose other end is known.
pub(crate) struct Connection {
    stream: Gathering<TlsStream<Box<dyn Socket>>>,
    subject: Subject,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    closed: Option<mpsc::Sender<Subject>>,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closing.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the store is stopping")),
            Poll::Pending => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(closed) = &self.closed
            && closed.try_send(self.subject.clone()).is_err()
        {
            tracing::debug!(subject = ?self.subject, "a lost connection was not reported: enough are being looked at");
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Subject;

    fn connect_info(&self) -> Subject {
        self.subject.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// One port.
pub(crate) struct Listener {
    pub(crate) port: Box<dyn Port>,
    pub(crate) audience: Audience,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) acceptor: TlsAcceptor,
    /// Nobody is let in from then on.
    pub(crate) last_call: CancellationToken,
    /// Every connection is cut then.
    pub(crate) shutdown: CancellationToken,
    /// Told of every connection that ends.
    pub(crate) closed: Option<mpsc::Sender<Subject>>,
}

impl Listener {
    /// The accepted connections, as long as the returned stream is polled; runs in `tasks`.
    pub(crate) fn incoming(self, tasks: &mut JoinSet<()>) -> impl Stream<Item = io::Result<Connection>> + use<> {
        let (accepted, connections) = mpsc::channel(ACCEPTED_MAX);
        tasks.spawn(async move {
            let last_call = self.last_call.clone();
            tokio::select! {
                biased;
                () = last_call.cancelled() => {}
                () = self.accept(accepted) => {}
            }
        });
        ReceiverStream::new(connections)
    }

    async fn accept(self, accepted: mpsc::Sender<io::Result<Connection>>) {
        let listener = Arc::new(self);
        let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut handshakes = JoinSet::new();
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            while handshakes.try_join_next().is_some() {}
            let stream = match listener.port.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: wait for some to come back.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (listener, accepted) = (listener.clone(), accepted.clone());
            handshakes.spawn(async move {
                let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, listener.handshake(stream)).await;
                drop(slot);
                match connection {
                    Ok(Ok(connection)) => {
                        if accepted.send(Ok(connection)).await.is_err() {
                            tracing::debug!("a connection came after the port was closed");
                        }
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a connection was refused"),
                    Err(_) => tracing::debug!("a connection was refused: no handshake in time"),
                }
            });
        }
    }

    async fn handshake(&self, stream: Box<dyn Socket>) -> io::Result<Connection> {
        let stream = self.acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let subject = certificate.and_then(|certificate| self.credentials.subject(certificate));
        let refused = |what: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        let subject = match (subject, self.audience) {
            (None, _) => return refused("its certificate names nobody of this cluster"),
            (Some(Subject::Client(_)), Audience::Peers) => {
                return refused("a client's certificate on the members' port");
            }
            (Some(subject), _) => subject,
        };
        let closing = Box::pin(self.shutdown.clone().cancelled_owned());
        let stream = match self.audience {
            Audience::Peers => Gathering::new(stream),
            Audience::Clients => Gathering::not_gathering(stream),
        };
        Ok(Connection { stream, subject, closing, closed: self.closed.clone() })
    }
}
