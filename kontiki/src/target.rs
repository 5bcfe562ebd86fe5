//! Which masters a command talks to, and with what certificate: a cluster's folder or one master's says so.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{cli::TargetArgs, etcd, identity::Master, pki::Pair, up::cluster::Cluster};

/// Where to look when nothing was said.
const DEFAULTS: [&str; 2] = [".kontiki", "/var/lib/kontiki/server"];

/// Some masters of one cluster.
pub(crate) struct Target {
    pub(crate) access: etcd::Access,
    /// Names, and URLs of the etcd port.
    pub(crate) masters: Vec<(String, String)>,
}

impl Target {
    /// The cluster that the flags name.
    pub(crate) fn find(args: &TargetArgs) -> Result<Self> {
        let given = args.dir.as_deref().map(Path::to_path_buf);
        let folders = given.map_or_else(|| DEFAULTS.map(PathBuf::from).to_vec(), |dir| vec![dir]);
        for dir in &folders {
            if let Some(cluster) = Cluster::load(dir)? {
                let masters =
                    cluster.masters().map(|host| (host.name.clone(), format!("https://{}:2379", host.address)));
                return Ok(Self { access: etcd::Access::load(&dir.join("etcd"))?, masters: masters.collect() });
            }
            if let Some(master) = Master::load(dir)? {
                return Self::of_master(dir, &master);
            }
        }
        let folders: Vec<_> = folders.iter().map(|dir| dir.display().to_string()).collect();
        bail!("there is no cluster and no master in {}: name its folder with --dir", folders.join(" or "))
    }

    /// The cluster of this master, as it knows itself.
    pub(crate) fn of_master(dir: &Path, master: &Master) -> Result<Self> {
        let pki = dir.join("pki");
        let authority = Pair::load(&pki, "store-ca")?.cert;
        let access = etcd::Access { authority, identity: Pair::load(&pki, "etcd-client")? };
        Ok(Self { access, masters: vec![(master.name.clone(), master.url(master.ports.client))] })
    }

    /// All members that the first master that answers knows of: names, and URLs of the etcd port.
    pub(crate) async fn all_members(&self) -> Result<Vec<proto::etcdserverpb::Member>> {
        let mut failures = Vec::new();
        for (name, url) in &self.masters {
            match self.access.members(url, false).await {
                Ok(members) => return Ok(members),
                Err(error) => failures.push(format!("{name} ({url}): {error:#}")),
            }
        }
        bail!("no master answers: {}", failures.join("; "))
    }
}
