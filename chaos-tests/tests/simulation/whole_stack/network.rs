//! turmoil's network, as the store, the API server and the clients take connections.

use std::{io, net::SocketAddr};

use client::Socket;
use futures_util::future::{BoxFuture, FutureExt};
use store::world::{self, Sockets};
use turmoil::net::{TcpListener, TcpStream};

/// Of the host that asks.
pub(crate) struct Simulated;

impl Sockets for Simulated {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn world::Port>>> {
        async move { Ok(Box::new(Port::bind(address).await?) as Box<dyn world::Port>) }.boxed()
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn world::Socket>>> {
        async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn world::Socket>) }.boxed()
    }
}

/// How clients of the API server connect.
pub(crate) fn dial(address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Socket>>> {
    async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Socket>) }.boxed()
}

/// A port of the simulated network.
pub(crate) struct Port(TcpListener);

impl Port {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }
}

impl world::Port for Port {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn world::Socket>>> {
        async move { Ok(Box::new(self.0.accept().await?.0) as Box<dyn world::Socket>) }.boxed()
    }
}

impl apiserver::Port for Port {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.0.accept().await?.0)
    }
}
