//! The pod network: a network namespace per pod, a routed veth pair, an address of the node's pod CIDRs, and direct
//! routes to the pods of the other nodes.
//!
//! Everything is idempotent and derived from the pod uid, so a restarted agent finds what it made, and what belongs to
//! no pod is removed by [`PodNetwork::retain`]. Deliberately absent: bridges, address translation for traffic that
//! leaves the cluster, and tunnels; nodes must reach each other on one link.

pub(crate) mod address_pool;
pub mod cidr;
pub(crate) mod netfilter;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod routes;
mod veth;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use netlink_packet_route::route::RouteProtocol;
use parking_lot::Mutex;

use address_pool::AddressPool;
pub use address_pool::AllocateError;
use cidr::Cidr;
use netlink::Host;

/// Marks the routes of Kontiki in the routing table, so that no other route is ever touched.
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(75);
/// The MTU when the uplink's cannot be found out.
const DEFAULT_MTU: u32 = 1500;

/// What went wrong in the pod network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a change of links, addresses or routes.
    #[error("the kernel refused a network change: {0}")]
    Netlink(rtnetlink::Error),
    /// A route could not be expressed: mixed address families.
    #[error("cannot build the route: {0}")]
    Route(String),
    /// A namespace or file operation failed.
    #[error("cannot prepare the network namespace: {0}")]
    Io(io::Error),
    /// No address was to be had.
    #[error(transparent)]
    Address(#[from] AllocateError),
}

impl From<rtnetlink::Error> for NetworkError {
    fn from(error: rtnetlink::Error) -> Self {
        Self::Netlink(error)
    }
}

impl From<io::Error> for NetworkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where the network keeps its things and what makes its names unique.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Unique for this agent on this machine; names of links derive from it.
    pub agent: String,
    /// Namespaces stand in `<run_dir>/netns`.
    pub run_dir: PathBuf,
    /// The record of addresses is `<state_dir>/addresses.json`.
    pub state_dir: PathBuf,
    /// The node's address.
    pub node_ip: IpAddr,
}

/// A pod's place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAddress {
    /// The namespace's file.
    pub namespace: PathBuf,
    /// One address per pod CIDR.
    pub addresses: Vec<IpAddr>,
}

/// The pod network of one agent.
#[derive(Debug)]
pub struct PodNetwork {
    settings: Settings,
    prefix: String,
    pool: Mutex<AddressPool>,
    host: Host,
    mtu: u32,
    /// The node's address if this host has it: the source of what the host sends to pods.
    source: Option<IpAddr>,
}

impl PodNetwork {
    /// Opens the record of addresses and the netlink socket, and turns forwarding on in the agent's own namespace.
    pub async fn open(settings: Settings) -> Result<Self, NetworkError> {
        std::fs::create_dir_all(settings.run_dir.join("netns"))?;
        std::fs::create_dir_all(&settings.state_dir)?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        let pool = AddressPool::open(&settings.state_dir.join("addresses.json"))?;
        let host = Host::open()?;
        let uplink_mtu = netlink::mtu_of(&host, settings.node_ip).await?;
        Ok(Self {
            prefix: veth::link_prefix(&settings.agent),
            pool: Mutex::new(pool),
            host,
            mtu: uplink_mtu.map_or(DEFAULT_MTU, |mtu| mtu.min(DEFAULT_MTU)),
            source: uplink_mtu.map(|_| settings.node_ip).filter(|address| !address.is_loopback()),
            settings,
        })
    }

    /// Sets the ranges pods get their addresses from, and makes their unused addresses answer "unreachable".
    pub async fn set_pod_cidrs(&self, cidrs: Vec<Cidr>) -> Result<(), NetworkError> {
        if self.pool.lock().cidrs() == cidrs {
            return Ok(());
        }
        for cidr in &cidrs {
            routes::refuse_unused(&self.host, *cidr).await?;
        }
        self.pool.lock().set_cidrs(cidrs);
        Ok(())
    }

    /// Gives the pod its namespace, addresses and routes. Idempotent; a repeated call answers the same.
    pub async fn attach(&self, uid: &str) -> Result<PodAddress, NetworkError> {
        let addresses = self.pool.lock().allocate(uid)?;
        let namespace = self.namespace(uid);
        let path = namespace.clone();
        tokio::task::spawn_blocking(move || netns::create(&path)).await.map_err(io::Error::other)??;
        let name = veth::link_name(&self.prefix, uid);
        veth::connect(&self.host, &name, &namespace, &addresses, self.mtu, self.source).await?;
        Ok(PodAddress { namespace, addresses })
    }

    /// Takes everything of the pod away. The caller promises that no process of it lives.
    pub async fn detach(&self, uid: &str) -> Result<(), NetworkError> {
        veth::disconnect(&self.host, &veth::link_name(&self.prefix, uid)).await?;
        let path = self.namespace(uid);
        tokio::task::spawn_blocking(move || netns::remove(&path)).await.map_err(io::Error::other)??;
        self.pool.lock().release(uid)?;
        Ok(())
    }

    /// The pod's addresses, if it has some.
    pub fn addresses(&self, uid: &str) -> Option<Vec<IpAddr>> {
        let pool = self.pool.lock();
        pool.addresses(uid)
    }

    /// Removes what belongs to none of `alive`: left-overs of a crash.
    pub async fn retain(&self, alive: &BTreeSet<String>) -> Result<(), NetworkError> {
        let mut stale: BTreeSet<String> = self.pool.lock().holders().map(str::to_owned).collect();
        for entry in std::fs::read_dir(self.settings.run_dir.join("netns"))? {
            stale.extend(entry?.file_name().into_string());
        }
        for uid in stale.difference(alive) {
            self.detach(uid).await?;
        }
        let kept: BTreeSet<String> = alive.iter().map(|uid| veth::link_name(&self.prefix, uid)).collect();
        for name in veth::links_with_prefix(&self.host, &self.prefix).await? {
            if !kept.contains(&name) {
                veth::disconnect(&self.host, &name).await?;
            }
        }
        Ok(())
    }

    /// Brings the routes to the other nodes' pods to `peers`; returns those the kernel refused, with its reason.
    pub(crate) async fn sync_routes(&self, peers: &routes::Peers) -> Result<Vec<(Cidr, String)>, NetworkError> {
        routes::sync(&self.host, peers).await
    }

    /// Removes all namespaces, links, routes and addresses of this agent.
    pub async fn clean_up(&self) -> Result<(), NetworkError> {
        self.retain(&BTreeSet::new()).await?;
        routes::remove_all(&self.host).await
    }

    fn namespace(&self, uid: &str) -> PathBuf {
        namespace_path(&self.settings.run_dir, uid)
    }
}

fn namespace_path(run_dir: &Path, uid: &str) -> PathBuf {
    run_dir.join("netns").join(uid)
}

/// The route builder's error type has no public name.
fn routable<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, NetworkError> {
    result.map_err(|error| NetworkError::Route(error.to_string()))
}

/// Whether the kernel answered with `errno`.
fn is_errno(error: &rtnetlink::Error, errno: nix::errno::Errno) -> bool {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code() == -(errno as i32),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host in a namespace of its own, with an uplink, as `kontiki up` makes them.
    struct TestHost {
        dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl TestHost {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("host");
            netns::create(&path).unwrap();
            Self { dir, path }
        }

        fn settings(&self) -> Settings {
            Settings {
                agent: self.dir.path().display().to_string(),
                run_dir: self.dir.path().join("run"),
                state_dir: self.dir.path().join("state"),
                node_ip: "192.168.77.1".parse().unwrap(),
            }
        }

        /// Runs a future on a thread that stands in the host's namespace.
        fn run<F: Future<Output = ()>>(&self, f: impl FnOnce(Settings) -> F + Send + 'static) {
            let settings = self.settings();
            netns::within(&self.path, move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(f(settings));
                Ok(())
            })
            .unwrap();
        }
    }

    impl Drop for TestHost {
        fn drop(&mut self) {
            netns::remove(&self.path).unwrap();
        }
    }

    async fn uplink(address: &str) {
        let (handle, _connection) = netlink::open().unwrap();
        handle.link().add(rtnetlink::LinkVeth::new("up0", "up1").build()).execute().await.unwrap();
        netlink::set_up(&handle, "up1").await.unwrap();
        let index = netlink::set_up(&handle, "up0").await.unwrap();
        netlink::set_up(&handle, "lo").await.unwrap();
        handle.address().add(index, address.parse().unwrap(), 24).execute().await.unwrap();
    }

    fn listen(namespace: &Path) -> std::net::TcpListener {
        netns::within(namespace, || std::net::TcpListener::bind("0.0.0.0:80")).unwrap()
    }

    #[test]
    fn host_and_pods_reach_each_other_until_detached() {
        let host = TestHost::new();
        host.run(|settings| async move {
            uplink("192.168.77.1").await;
            let network = PodNetwork::open(settings).await.unwrap();
            network.set_pod_cidrs(vec!["10.244.1.0/24".parse().unwrap()]).await.unwrap();
            let a = network.attach("pod-a").await.unwrap();
            let b = network.attach("pod-b").await.unwrap();
            assert_eq!(network.attach("pod-a").await.unwrap(), a, "attach is idempotent");

            let listener = listen(&a.namespace);
            let target = std::net::SocketAddr::new(a.addresses[0], 80);
            let own = std::net::TcpStream::connect(target).unwrap();
            assert_eq!(own.local_addr().unwrap().ip().to_string(), "192.168.77.1");
            let from_pod = netns::within(&b.namespace, move || std::net::TcpStream::connect(target)).unwrap();
            assert_eq!(from_pod.local_addr().unwrap().ip(), b.addresses[0]);
            drop(listener);

            network.detach("pod-a").await.unwrap();
            let error = std::net::TcpStream::connect(target).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::HostUnreachable, "a dead pod's address fails at once");
            network.clean_up().await.unwrap();
            assert!(veth::links_with_prefix(&Host::open().unwrap(), &network.prefix).await.unwrap().is_empty());
        });
    }

    #[test]
    fn a_restart_removes_what_belongs_to_no_pod() {
        let host = TestHost::new();
        host.run(|settings| async move {
            uplink("192.168.77.1").await;
            let network = PodNetwork::open(settings.clone()).await.unwrap();
            network.set_pod_cidrs(vec!["10.244.1.0/24".parse().unwrap()]).await.unwrap();
            let kept = network.attach("kept").await.unwrap();
            let stale = network.attach("stale").await.unwrap();
            drop(network);

            let network = PodNetwork::open(settings).await.unwrap();
            network.retain(&BTreeSet::from(["kept".to_owned()])).await.unwrap();
            assert!(!stale.namespace.exists());
            assert_eq!(network.addresses("kept"), Some(kept.addresses));
            assert_eq!(network.addresses("stale"), None);
            network.clean_up().await.unwrap();
        });
    }

    #[test]
    fn many_lists_at_a_time_are_answered() {
        let host = TestHost::new();
        host.run(|settings| async move {
            uplink("192.168.77.1").await;
            let network = PodNetwork::open(settings).await.unwrap();
            let network = std::sync::Arc::new(network);
            let mut lists = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let network = network.clone();
                lists.spawn(async move {
                    network.sync_routes(&routes::Peers::new()).await?;
                    network.retain(&BTreeSet::new()).await
                });
                // The next request comes while the answer to this one is still in the kernel.
                tokio::task::yield_now().await;
            }
            for listed in lists.join_all().await {
                listed.unwrap();
            }
        });
    }

    #[test]
    fn routes_follow_the_peers() {
        let host = TestHost::new();
        host.run(|settings| async move {
            uplink("192.168.77.1").await;
            let network = PodNetwork::open(settings).await.unwrap();
            let on_link: routes::Peers =
                [("10.244.2.0/24".parse().unwrap(), "192.168.77.2".parse().unwrap())].into_iter().collect();
            assert_eq!(network.sync_routes(&on_link).await.unwrap(), vec![]);
            assert_eq!(network.sync_routes(&on_link).await.unwrap(), vec![]);
            let off_link: routes::Peers =
                [("10.244.3.0/24".parse().unwrap(), "172.31.0.2".parse().unwrap())].into_iter().collect();
            assert_eq!(network.sync_routes(&off_link).await.unwrap().len(), 1, "an unreachable gateway is reported");
            network.clean_up().await.unwrap();
        });
    }
}
