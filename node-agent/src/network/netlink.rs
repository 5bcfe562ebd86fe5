//! Netlink sockets: in the agent's own namespace and in a pod's.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use futures_util::{Stream, TryStreamExt};
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::{Handle, LinkUnspec};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::{NetworkError, netns, veth};

/// The socket of the agent's own namespace, shared by all pods.
#[derive(Debug)]
pub(crate) struct Host {
    handle: Handle,
    /// The kernel answers one dump at a time on a socket and refuses a second one with EBUSY (netlink_dump_start).
    dump: Mutex<()>,
    _connection: AbortOnDropHandle<()>,
}

impl Host {
    pub(crate) fn open() -> io::Result<Self> {
        let (handle, connection) = open()?;
        Ok(Self { handle, dump: Mutex::default(), _connection: connection })
    }

    /// For requests about one thing. What lists things goes through [`Host::list`].
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The whole answer to a request that the kernel serves as a dump.
    pub(crate) async fn list<T, S>(&self, request: impl FnOnce(&Handle) -> S) -> Result<Vec<T>, rtnetlink::Error>
    where
        S: Stream<Item = Result<T, rtnetlink::Error>>,
    {
        let _turn = self.dump.lock().await;
        request(&self.handle).try_collect().await
    }
}

/// Opens a socket in the namespace this process stands in. The connection ends when the returned guard is dropped.
pub(crate) fn open() -> io::Result<(Handle, AbortOnDropHandle<()>)> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    Ok((handle, AbortOnDropHandle::new(tokio::task::spawn(connection))))
}

/// Opens a socket in the namespace at `path`: a socket stays in the namespace it was made in.
pub(crate) async fn within(path: &Path) -> io::Result<(Handle, AbortOnDropHandle<()>)> {
    let path = path.to_owned();
    let runtime = tokio::runtime::Handle::current();
    let open = move || {
        netns::within(&path, move || {
            let _entered = runtime.enter();
            open()
        })
    };
    tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
}

/// Sets a link up and returns its index.
pub(crate) async fn set_up(handle: &Handle, name: &str) -> Result<u32, NetworkError> {
    let index = veth::index_of(handle, name)
        .await?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no network link {name}")))?;
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    Ok(index)
}

/// The MTU of the link that carries `address`, if this host has it.
pub(crate) async fn mtu_of(host: &Host, address: IpAddr) -> Result<Option<u32>, NetworkError> {
    let addresses = host.list(|handle| handle.address().get().set_address_filter(address).execute()).await?;
    let carries = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Local(a) | AddressAttribute::Address(a) if *a == address);
    let Some(found) = addresses.iter().find(|message| message.attributes.iter().any(carries)) else { return Ok(None) };
    let mut links = host.handle().link().get().match_index(found.header.index).execute();
    Ok(links.try_next().await?.and_then(|link| {
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        })
    }))
}
