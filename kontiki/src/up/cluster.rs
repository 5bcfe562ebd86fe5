//! What `kontiki up` made: written before anything is created, so that `kontiki down` finds it after any crash.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::files;

/// The format of `cluster.json` that this program writes.
const FORMAT: u32 = 1;

/// A cluster on this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    format: u32,
    /// The folder of the cluster, absolute.
    pub(crate) dir: PathBuf,
    /// Eight hex digits of the folder's hash: the suffix of every name outside the folder.
    pub(crate) tag: String,
    /// The hosts' network: `10.213.<subnet>.0/24`.
    pub(crate) subnet: u8,
    /// The port of the local proxy that the kubeconfig points at.
    pub(crate) proxy_port: u16,
    /// Masters first, then workers.
    pub(crate) hosts: Vec<Host>,
    /// What the masters are told by `--runtime-config`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runtime_config: Vec<String>,
}

/// One host: a network namespace with its processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    /// `m1`, `m2`, ... for masters, `w1`, ... for workers: also the node's name.
    pub(crate) name: String,
    /// Its address in the cluster's network.
    pub(crate) address: Ipv4Addr,
    /// Runs `kontiki server`.
    pub(crate) master: bool,
    /// Runs `kontiki agent`.
    pub(crate) worker: bool,
}

impl Cluster {
    /// The plan of a new cluster in `dir`.
    pub(crate) fn plan(dir: PathBuf, subnet: u8, proxy_port: u16, masters: u8, workers: u8, single: bool) -> Self {
        let tag = tag(&dir);
        let address = |base: u8, n: u8| Ipv4Addr::new(10, 213, subnet, base + n);
        let master = |n| Host { name: format!("m{n}"), address: address(10, n), master: true, worker: single };
        let worker = |n| Host { name: format!("w{n}"), address: address(100, n), master: false, worker: true };
        let hosts = (1..=masters).map(master).chain((1..=workers).map(worker)).collect();
        Self { format: FORMAT, dir, tag, subnet, proxy_port, hosts, runtime_config: Vec::new() }
    }

    /// The cluster in `dir`, if one was made there.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("cluster.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let format: Format = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if format.format != FORMAT {
            bail!(
                "{} has format {}, this kontiki knows {FORMAT}: use the kontiki that made it",
                path.display(),
                format.format
            );
        }
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes `cluster.json`.
    pub(crate) fn save(&self) -> Result<()> {
        files::write_durably(&self.dir.join("cluster.json"), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// The masters.
    pub(crate) fn masters(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.master)
    }

    /// The hosts that run pods.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.worker)
    }

    /// This machine's own address in the cluster's network.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 1)
    }

    /// The name of a host's network namespace.
    pub(crate) fn netns(&self, host: &str) -> String {
        format!("kontiki-{}-{host}", self.tag)
    }

    /// The path of a host's network namespace.
    pub(crate) fn netns_path(&self, host: &str) -> PathBuf {
        Path::new("/run/netns").join(self.netns(host))
    }

    /// The interface that joins this machine to the cluster's network.
    pub(crate) fn interface(&self) -> String {
        format!("kt{}", self.tag)
    }

    /// The root of every cgroup of this cluster, below each hierarchy's mount point.
    pub(crate) fn cgroup_root(&self) -> String {
        format!("kontiki-{}", self.tag)
    }

    /// A host's folder.
    pub(crate) fn host_dir(&self, host: &str) -> PathBuf {
        self.dir.join("hosts").join(host)
    }

    /// How far the clock of a host's processes is ahead, while a test of failover moves it.
    pub(crate) fn clock_file(&self, host: &str) -> PathBuf {
        self.host_dir(host).join("clock")
    }

    /// The record of a host's server or agent.
    pub(crate) fn process_file(&self, host: &str, role: &str) -> PathBuf {
        self.host_dir(host).join(format!("{role}.pid"))
    }

    /// Every process that was started and still runs: host, role, process.
    pub(crate) fn running(&self) -> Vec<(String, &'static str, Process)> {
        let mut running = Vec::new();
        for host in &self.hosts {
            for (role, runs) in [("server", host.master), ("agent", host.worker)] {
                if !runs {
                    continue;
                }
                if let Some(process) = Process::load(&self.process_file(&host.name, role)).filter(Process::is_alive) {
                    running.push((host.name.clone(), role, process));
                }
            }
        }
        running
    }
}

/// Read first, so that a newer file is named as such rather than called damaged.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Eight hex digits that name a folder.
fn tag(dir: &Path) -> String {
    let hash = digest(&SHA256, dir.as_os_str().as_encoded_bytes());
    hash.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_folder_differ_between_folders_and_fit_the_kernel() {
        let a = Cluster::plan("/tmp/a".into(), 7, 40_000, 3, 2, false);
        let b = Cluster::plan("/tmp/b".into(), 8, 40_001, 3, 2, false);
        assert_ne!(a.tag, b.tag);
        assert!(a.interface().len() <= 15, "an interface's name has at most 15 characters");
        let names: Vec<&str> = a.hosts.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["m1", "m2", "m3", "w1", "w2"]);
        assert_eq!(a.hosts[3].address, Ipv4Addr::new(10, 213, 7, 101));
    }

    #[test]
    fn a_cluster_is_read_back_and_a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Cluster::load(dir.path()).unwrap().is_none());
        let mut made = Cluster::plan(dir.path().into(), 7, 40_000, 1, 0, true);
        made.save().unwrap();
        let read = Cluster::load(dir.path()).unwrap().unwrap();
        assert_eq!(read.hosts.len(), 1);
        assert!(read.hosts[0].worker);
        made.format = 99;
        made.save().unwrap();
        assert!(Cluster::load(dir.path()).unwrap_err().to_string().contains("format 99"));
    }
}
