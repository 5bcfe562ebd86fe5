//! What connections are made of: the machine's TCP, or that of a simulated network.

use std::{io, net::SocketAddr};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// One end of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// An address that is listened on.
pub trait Port: Send + Sync {
    /// The next connection.
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Socket>>>;
}

/// See the module's documentation.
pub trait Sockets: Send + Sync {
    /// Listens.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Port>>>;

    /// Connects to `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Socket>>>;
}

/// This machine's.
pub(crate) struct RealSockets;

impl Sockets for RealSockets {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Port>>> {
        async move { Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Port>) }.boxed()
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Socket>>> {
        async move { at_once(TcpStream::connect(address).await?) }.boxed()
    }
}

impl Port for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        async move { at_once(self.accept().await?.0) }.boxed()
    }
}

/// Nothing waits for more to send with it.
fn at_once(stream: TcpStream) -> io::Result<Box<dyn Socket>> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
