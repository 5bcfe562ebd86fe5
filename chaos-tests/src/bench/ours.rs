//! Kontiki, three whole masters, each in a network namespace.

use std::path::Path;

use anyhow::{Context as _, Result};
use kontiki::EtcdAccess;
use nix::sys::signal::Signal;

use super::server::Members;
use crate::Cluster;

/// Running masters; dropping them ends them.
pub struct Ours {
    cluster: Cluster,
    access: EtcdAccess,
    names: Vec<String>,
    urls: Vec<String>,
}

impl Ours {
    /// Starts three masters of this program, without workers.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(program: &Path) -> Result<Self> {
        let program = std::fs::canonicalize(program).context("build it first: cargo build --release")?;
        let cluster = Cluster::up(program, &["--workers", "0"]);
        let access = EtcdAccess::load(&cluster.dir().join("etcd"))?;
        let (names, addresses): (Vec<_>, Vec<_>) = cluster.masters().into_iter().unzip();
        let urls = addresses.iter().map(|address| format!("https://{address}:2379")).collect();
        Ok(Self { cluster, access, names, urls })
    }
}

impl Members for Ours {
    fn access(&self) -> &EtcdAccess {
        &self.access
    }

    fn urls(&self) -> &[String] {
        &self.urls
    }

    fn pid(&self, member: usize) -> Result<i32> {
        Ok(self.cluster.pid(&self.names[member], "server").as_raw())
    }

    fn end(&mut self, member: usize, signal: Signal) -> Result<()> {
        self.cluster.signal(&self.names[member], "server", signal);
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.cluster.kontiki("up", &[]);
        Ok(())
    }
}
