//! What the agent is told at its start. Everything is passed in; the agent reads no environment and no default paths.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The configuration of one agent. Several agents live on one machine when their directories, cgroup roots and network
/// namespaces differ.
#[derive(Clone)]
pub struct Config {
    /// The name of the Node object.
    pub node_name: String,
    /// The address of the node, `InternalIP` of its Node object.
    pub node_ip: IpAddr,
    /// Where the kubelet API listens, by default port 10250 of the node's address.
    pub listen: SocketAddr,
    /// State that outlives a restart of the machine: images, volumes, addresses.
    pub dir: PathBuf,
    /// State of this boot: sockets, network namespaces, the runtime's records.
    pub run_dir: PathBuf,
    /// Container logs stand in `<log_dir>/pods`.
    pub log_dir: PathBuf,
    /// Archives in this folder are imported at start.
    pub images_dir: PathBuf,
    /// Registries (`host[:port]`) that are asked over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// The cgroup, relative to the root of each hierarchy, below which all pods stand.
    pub cgroup_root: String,
    /// The API, as user `system:node:<node_name>`.
    pub client: kube::Client,
    /// Certificates of the kubelet API.
    pub tls: ServerTls,
    /// The domain of cluster DNS names, for example `cluster.local`.
    pub cluster_domain: String,
    /// The addresses of the cluster's DNS service; empty while the cluster has none.
    pub cluster_dns: Vec<IpAddr>,
    /// Labels to set on the Node object besides the usual ones.
    pub labels: BTreeMap<String, String>,
    /// The most pods this node takes.
    pub max_pods: u32,
    /// The Node's Lease is renewed this often.
    pub lease_renewal: std::time::Duration,
    /// A Lease this old means a dead node.
    pub lease_duration: std::time::Duration,
}

/// The kubelet API's own certificate, and who signs its clients'.
#[derive(Clone)]
pub struct ServerTls {
    /// The server certificate chain, PEM.
    pub certificate: Vec<u8>,
    /// Its key, PEM.
    pub key: Vec<u8>,
    /// The cluster authority, PEM: a client must show a certificate of it.
    pub client_ca: Vec<u8>,
}

impl Config {
    /// The folder of one pod's volumes and files.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods_dir().join(uid)
    }

    pub(crate) fn pods_dir(&self) -> PathBuf {
        self.dir.join("pods")
    }

    /// The folder of one pod's logs.
    pub(crate) fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.log_dir.join("pods").join(format!("{namespace}_{name}_{uid}"))
    }

    /// Unique for this agent on this machine.
    pub(crate) fn agent_identity(&self) -> String {
        format!("{}\n{}", self.dir.display(), self.node_name)
    }
}
