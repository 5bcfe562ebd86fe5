//! What a master and a node are: written once at creation, read at every start, so that a restart needs no flag and no peer.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, bail};
use rcgen::KeyPair;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    files,
    pki::{Authorities, Leaf, Pair, member_uri, successor_uri},
};

/// The format of the identity files that this program writes.
const FORMAT: u32 = 1;

/// What all masters of a cluster share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Drawn at creation, never changed.
    pub(crate) cluster_id: u64,
    /// Services get their addresses from here.
    pub(crate) service_cidr: String,
    /// Nodes get their pods' ranges from here.
    pub(crate) cluster_cidr: String,
    /// The DNS suffix of the cluster.
    pub(crate) cluster_domain: String,
    /// The clusters that this one took the place of, by restore or recovery: their masters are refused, and told so.
    #[serde(default)]
    pub(crate) predecessors: Vec<u64>,
}

impl Settings {
    /// What the masters of a cluster share that takes the place of this one.
    pub(crate) fn succeeded(&self, cluster_id: u64) -> Self {
        let predecessors = self.predecessors.iter().copied().chain([self.cluster_id]).collect();
        Self { cluster_id, predecessors, ..self.clone() }
    }
}

/// The ports of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ports {
    /// The Kubernetes API.
    pub(crate) api: u16,
    /// etcd's API.
    pub(crate) client: u16,
    /// Raft between masters.
    pub(crate) peer: u16,
}

/// One master.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Master {
    format: u32,
    pub(crate) settings: Settings,
    pub(crate) member_id: u64,
    pub(crate) name: String,
    /// Where the others and the clients reach it.
    pub(crate) address: IpAddr,
    pub(crate) ports: Ports,
    /// Whether this master created the cluster: its first start makes a cluster of one.
    pub(crate) first: bool,
    /// The others when it joined, by their member id, and at which URLs members reached them.
    #[serde(default)]
    pub(crate) introduced: BTreeMap<u64, String>,
}

impl Master {
    pub(crate) fn new(
        settings: Settings,
        member_id: u64,
        name: String,
        address: IpAddr,
        ports: Ports,
        first: bool,
    ) -> Self {
        Self { format: FORMAT, settings, member_id, name, address, ports, first, introduced: BTreeMap::new() }
    }

    /// The master that was made in `dir`, if one was.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        Self::load_file(&dir.join("master.json"))
    }

    /// The master that a file describes, if it is there.
    pub(crate) fn load_file(path: &Path) -> Result<Option<Self>> {
        load(path)
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        self.save_as(&dir.join("master.json"))
    }

    pub(crate) fn save_as(&self, path: &Path) -> Result<()> {
        files::write_durably(path, &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// An `https` URL of one of its ports.
    pub(crate) fn url(&self, port: u16) -> String {
        format!("https://{}", std::net::SocketAddr::new(self.address, port))
    }

    fn store_uris(&self) -> Vec<String> {
        let id = self.settings.cluster_id;
        let former = self.settings.predecessors.iter().map(|former| successor_uri(*former, id));
        std::iter::once(member_uri(id, self.member_id)).chain(former).collect()
    }

    /// Signs and writes this master's own certificates: all that follows from the authorities and its identity.
    pub(crate) fn issue(&self, authorities: &Authorities, first_service_address: IpAddr, pki: &Path) -> Result<()> {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let store = Leaf {
            common_name: self.name.clone(),
            dns_names: vec![self.name.clone(), "localhost".into()],
            addresses: vec![self.address, loopback],
            uris: self.store_uris(),
            server: true,
            client: true,
            ..Leaf::default()
        };
        authorities.store.issue(&store)?.save(pki, "store")?;
        let domain = &self.settings.cluster_domain;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", &self.name];
        let api = Leaf {
            common_name: "kube-apiserver".into(),
            dns_names: names
                .map(str::to_owned)
                .into_iter()
                .chain([format!("kubernetes.default.svc.{domain}")])
                .collect(),
            addresses: vec![self.address, loopback, first_service_address],
            server: true,
            ..Leaf::default()
        };
        authorities.cluster.issue(&api)?.save(pki, "apiserver")?;
        let kubelet_client = Leaf {
            common_name: "kontiki:kubelet-client".into(),
            organizations: vec!["kontiki:masters".into()],
            client: true,
            ..Leaf::default()
        };
        authorities.cluster.issue(&kubelet_client)?.save(pki, "kubelet-client")?;
        administrator(authorities)?.save(pki, "admin")?;
        etcd_client(authorities, self.settings.cluster_id, "admin")?.save(pki, "etcd-client")
    }
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    format: u32,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) cluster_domain: String,
    /// API addresses of the masters known when it joined: the balancer learns the rest.
    pub(crate) masters: Vec<String>,
}

impl Node {
    pub(crate) fn new(name: String, address: IpAddr, cluster_domain: String, masters: Vec<String>) -> Self {
        Self { format: FORMAT, name, address, cluster_domain, masters }
    }

    /// The node that was made in `dir`, if one was.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        load(&dir.join("node.json"))
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        files::write_durably(&dir.join("node.json"), &serde_json::to_vec_pretty(self)?, 0o600)
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let damaged =
        || format!("{} is damaged: restore it from a backup, or join anew in an empty folder", path.display());
    let Format { format } = serde_json::from_slice(&text).with_context(damaged)?;
    if format != FORMAT {
        bail!("{} has format {format}, this kontiki knows {FORMAT}: use the kontiki that wrote it", path.display());
    }
    serde_json::from_slice(&text).map(Some).with_context(damaged)
}

/// A certificate for `kubernetes-admin`, who may do everything.
pub(crate) fn administrator(authorities: &Authorities) -> Result<Pair> {
    authorities.cluster.issue(&Leaf {
        common_name: "kubernetes-admin".into(),
        organizations: vec!["system:masters".into()],
        client: true,
        ..Leaf::default()
    })
}

/// A certificate for a client of the etcd port.
pub(crate) fn etcd_client(authorities: &Authorities, cluster_id: u64, name: &str) -> Result<Pair> {
    authorities.store.issue(&Leaf {
        common_name: name.into(),
        uris: vec![format!("kontiki://{cluster_id:016x}/client/{name}")],
        client: true,
        ..Leaf::default()
    })
}

/// A new key that signs service-account tokens (ES256), PKCS#8 PEM.
pub(crate) fn service_account_key() -> Result<String> {
    Ok(KeyPair::generate()?.serialize_pem())
}

/// A new master key: it wraps the keys that encrypt Secrets.
pub(crate) fn master_key() -> Result<[u8; 32]> {
    random()
}

/// A new cluster or member id; never zero, which etcd's API reads as "none".
pub(crate) fn random_id() -> Result<u64> {
    Ok(u64::from_le_bytes(random()?).max(1))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system's random source failed"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_read_back_and_a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Master::load(dir.path()).unwrap().is_none());
        let settings = Settings {
            cluster_id: 1,
            service_cidr: "10.96.0.0/16".into(),
            cluster_cidr: "10.244.0.0/16".into(),
            cluster_domain: "cluster.local".into(),
            predecessors: Vec::new(),
        };
        let ports = Ports { api: 6443, client: 2379, peer: 2380 };
        let made = Master::new(settings, 2, "m1".into(), [10, 0, 0, 1].into(), ports, true);
        made.save(dir.path()).unwrap();
        let read = Master::load(dir.path()).unwrap().unwrap();
        assert_eq!((read.member_id, read.url(6443)), (2, "https://10.0.0.1:6443".to_owned()));
        fs::write(dir.path().join("master.json"), "{").unwrap();
        assert!(Master::load(dir.path()).unwrap_err().to_string().contains("master.json is damaged"));
    }
}
