//! The API servers that are measured: one master, three masters, and one that answers without work.

use std::{
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use kontiki::{
    Kubeconfig,
    pki::{Authority, Leaf},
};
use nix::sys::signal::Signal;

use super::{api::Endpoint, etcd::free_port, processes};
use crate::Cluster;

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at one that starts.
const LOOK: Duration = Duration::from_millis(2);

/// Running masters of one cluster.
pub struct Masters {
    cluster: Cluster,
    names: Vec<String>,
    endpoints: Vec<Endpoint>,
}

impl Masters {
    /// Starts a cluster with these flags of `kontiki up`.
    ///
    /// # Errors
    /// When there is no such program, or a master does not serve.
    pub async fn start(program: &Path, flags: &[&str]) -> Result<Self> {
        let program = std::fs::canonicalize(program).context("build it first: cargo build --release")?;
        let cluster = Cluster::up(program, flags);
        let kubeconfig = Kubeconfig::read(&cluster.dir().join("kubeconfig"))?;
        let mut endpoints = Vec::new();
        for access in kubeconfig.masters() {
            let address = access.server.trim_start_matches("https://").parse().context("a master's address")?;
            let identity = access.identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
            let tls = kontiki::client_tls(&access.authority_pem, identity)?.into();
            endpoints.push(Endpoint { address, tls });
        }
        let names = cluster.masters().into_iter().map(|(name, _)| name).collect();
        let masters = Self { cluster, names, endpoints };
        for endpoint in &masters.endpoints {
            ready(endpoint).await?;
        }
        Ok(masters)
    }

    /// Where they listen.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Their processes.
    pub fn pids(&self) -> Vec<i32> {
        self.names.iter().map(|name| self.cluster.pid(name, "server").as_raw()).collect()
    }

    /// Kills the first master and starts it again; from the start of its process until it says that it is ready.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&self) -> Result<Duration> {
        let (name, endpoint) = (&self.names[0], self.endpoints[0].clone());
        self.cluster.signal(name, "server", Signal::SIGKILL);
        let looking = tokio::spawn(async move {
            ready(&endpoint).await?;
            Ok::<_, anyhow::Error>(Instant::now())
        });
        tokio::task::block_in_place(|| self.cluster.kontiki("up", &[]));
        let ready_at = looking.await??;
        let age = processes::age(self.cluster.pid(name, "server").as_raw())?;
        Ok(age.saturating_sub(ready_at.elapsed()))
    }
}

/// Returns once the server says that it is ready.
async fn ready(endpoint: &Endpoint) -> Result<()> {
    let start = Instant::now();
    loop {
        let asked = async { endpoint.connect().await?.ask(Method::GET, "/readyz", Bytes::new()).await };
        match asked.await {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > START_TIMEOUT => return Err(error).context("not ready in time"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// A server that answers without work, in a process of its own; dropping it ends it.
pub struct Ceiling {
    process: Child,
    endpoint: Endpoint,
}

impl Ceiling {
    /// Starts this very program as the ceiling, with certificates in `folder`.
    ///
    /// # Errors
    /// When it does not serve.
    pub async fn start(folder: &Path) -> Result<Self> {
        let authority = Authority::generate("bench")?;
        let leaf = |server| Leaf {
            common_name: "bench".into(),
            dns_names: vec!["kubernetes".into()],
            server,
            client: !server,
            ..Leaf::default()
        };
        std::fs::write(folder.join("ca.crt"), authority.cert())?;
        authority.issue(&leaf(true))?.save(folder, "server")?;
        let client = authority.issue(&leaf(false))?;
        let identity = Some((client.cert.as_bytes(), client.key.as_bytes()));
        let tls = Arc::clone(&kontiki::client_tls(authority.cert().as_bytes(), identity)?).into();
        let port = free_port()?;
        let program = std::env::current_exe()?;
        let process = Command::new(program).args(["--ceiling", &port.to_string(), "--pki"]).arg(folder).spawn()?;
        let ceiling = Self { process, endpoint: Endpoint { address: ([127, 0, 0, 1], port).into(), tls } };
        ready(&ceiling.endpoint).await?;
        Ok(ceiling)
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &[Endpoint] {
        std::slice::from_ref(&self.endpoint)
    }

    /// Its process.
    pub fn pids(&self) -> Vec<i32> {
        i32::try_from(self.process.id()).into_iter().collect()
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
