//! One routed veth pair per pod: no bridge, so no port limit, no ARP and no dependence on br_netfilter.
//!
//! Host side: a /32 (or /128) route to the pod over the pair. Pod side: the address, and a default route over a
//! link-local gateway whose hardware address is a permanent neighbour entry equal to that of every host end.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::Path;

use futures_util::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use netlink_packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use sha2::{Digest, Sha256};

use super::netlink::Host;
use super::{NetworkError, ROUTE_PROTOCOL, is_errno, netns, routable};

/// The hardware address of every host end; pods know it as their gateway's.
const HOST_MAC: [u8; 6] = [0xee; 6];
/// The gateway every IPv4 pod sees.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const POD_LINK: &str = "eth0";

/// The prefix of the host ends of one agent, from what makes the agent unique on the machine.
pub(crate) fn link_prefix(agent: &str) -> String {
    format!("kt{}", hex(agent, 2))
}

/// The name of a pod's host end; at most 14 characters, below the kernel's limit of 15.
pub(crate) fn link_name(prefix: &str, uid: &str) -> String {
    format!("{prefix}{}", hex(uid, 4))
}

fn hex(text: &str, bytes: usize) -> String {
    Sha256::digest(text.as_bytes()).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Connects the namespace at `namespace` under `addresses`. Idempotent.
pub(crate) async fn connect(
    host: &Host,
    name: &str,
    namespace: &Path,
    addresses: &[IpAddr],
    mtu: u32,
    node_ip: Option<IpAddr>,
) -> Result<(), NetworkError> {
    let index = match index_of(host.handle(), name).await? {
        Some(index) => index,
        None => create_pair(host, name, namespace, mtu).await?,
    };
    configure_pod_side(namespace, addresses).await?;
    for address in addresses {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let mut route = routable(RouteMessageBuilder::<IpAddr>::new().destination_prefix(*address, width))?
            .output_interface(index)
            .scope(RouteScope::Link)
            .protocol(ROUTE_PROTOCOL);
        if let Some(source) = node_ip.filter(|source| source.is_ipv4() == address.is_ipv4()) {
            route = routable(route.pref_source(source))?;
        }
        host.handle().route().add(route.build()).replace().execute().await?;
    }
    Ok(())
}

/// Removes the pair; a missing one is fine.
pub(crate) async fn disconnect(host: &Host, name: &str) -> Result<(), NetworkError> {
    let Some(index) = index_of(host.handle(), name).await? else { return Ok(()) };
    match host.handle().link().del(index).execute().await {
        Err(error) if !is_errno(&error, nix::errno::Errno::ENODEV) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names of all host ends that carry `prefix`.
pub(crate) async fn links_with_prefix(host: &Host, prefix: &str) -> Result<Vec<String>, NetworkError> {
    let links = host.list(|handle| handle.link().get().execute()).await?;
    let names = links.into_iter().flat_map(|link| link.attributes).filter_map(|attribute| match attribute {
        LinkAttribute::IfName(name) if name.starts_with(prefix) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}

/// The index of a link, or `None` if there is none of that name.
pub(crate) async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>, NetworkError> {
    let mut links = handle.link().get().match_name(name).execute();
    match links.try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(error) if is_errno(&error, nix::errno::Errno::ENODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn create_pair(host: &Host, name: &str, namespace: &Path, mtu: u32) -> Result<u32, NetworkError> {
    let target = std::fs::File::open(namespace)?;
    let peer = LinkMessageBuilder::<LinkUnspec>::new().name(POD_LINK).mtu(mtu).setns_by_fd(target.as_raw_fd()).build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(name, POD_LINK)
        .mtu(mtu)
        .address(HOST_MAC.to_vec())
        .up()
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    host.handle().link().add(pair).execute().await?;
    index_of(host.handle(), name).await?.ok_or_else(|| {
        NetworkError::Io(io::Error::new(io::ErrorKind::NotFound, format!("link {name} vanished after its creation")))
    })
}

async fn configure_pod_side(namespace: &Path, addresses: &[IpAddr]) -> Result<(), NetworkError> {
    let (pod, _connection) = super::netlink::within(namespace).await?;
    super::netlink::set_up(&pod, "lo").await?;
    let index = super::netlink::set_up(&pod, POD_LINK).await?;
    for address in addresses {
        let width = if address.is_ipv4() { 32 } else { 128 };
        pod.address().add(index, *address, width).replace().execute().await?;
    }
    if addresses.iter().any(IpAddr::is_ipv4) {
        let gateway = IpAddr::V4(GATEWAY);
        pod.neighbours().add(index, gateway).link_layer_address(&HOST_MAC).replace().execute().await?;
        let link = routable(RouteMessageBuilder::<IpAddr>::new().destination_prefix(gateway, 32))?
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        pod.route().add(link).replace().execute().await?;
        let everywhere = RouteMessageBuilder::<IpAddr>::new().destination_prefix(Ipv4Addr::UNSPECIFIED.into(), 0);
        let default = routable(routable(everywhere)?.gateway(gateway))?.output_interface(index).build();
        pod.route().add(default).replace().execute().await?;
    }
    let namespace = namespace.to_owned();
    tokio::task::spawn_blocking(move || netns::within(&namespace, pod_sysctls)).await.map_err(io::Error::other)??;
    Ok(())
}

/// What container runtimes give every pod: low ports and ping without privileges.
fn pod_sysctls() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_differ() {
        let prefix = link_prefix("cluster/node-1");
        let name = link_name(&prefix, "3f6c1c8e-0000-4000-8000-000000000001");
        assert!(name.len() < 16 && name.starts_with(&prefix), "{name}");
        assert_ne!(name, link_name(&prefix, "3f6c1c8e-0000-4000-8000-000000000002"));
        assert_ne!(prefix, link_prefix("cluster/node-2"));
    }
}
