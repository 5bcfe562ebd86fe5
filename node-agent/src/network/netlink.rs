//! Netlink sockets: in the agent's own namespace and in a pod's.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use futures_util::TryStreamExt;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::{Handle, LinkUnspec};
use tokio_util::task::AbortOnDropHandle;

use super::{NetworkError, netns, veth};

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
pub(crate) async fn mtu_of(handle: &Handle, address: IpAddr) -> Result<Option<u32>, NetworkError> {
    let mut addresses = handle.address().get().set_address_filter(address).execute();
    let mut index = None;
    while let Some(message) = addresses.try_next().await? {
        let local = message.attributes.iter().any(
            |attribute| matches!(attribute, AddressAttribute::Local(a) | AddressAttribute::Address(a) if *a == address),
        );
        if local {
            index = Some(message.header.index);
        }
    }
    let Some(index) = index else { return Ok(None) };
    let mut links = handle.link().get().match_index(index).execute();
    Ok(links.try_next().await?.and_then(|link| {
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        })
    }))
}
