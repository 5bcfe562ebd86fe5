//! Waiting for a cluster to be what was asked for: masters that serve and vote, nodes that are Ready.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use client::{Kubeconfig, masters::Health};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Up, cluster::Cluster};
use crate::{etcd, objects, proxy};

/// How long one stage may take before the start is given up.
const STAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until the first master serves and has written the tokens for the others: it writes them last.
pub(super) async fn first_master(up: &mut Up) -> Result<()> {
    let tokens = up.cluster.host_dir(&up.cluster.hosts[0].name).join("server/tokens");
    until(
        "the first master does not serve",
        || up.find_ended(),
        async || {
            for role in ["master", "node"] {
                anyhow::ensure!(tokens.join(role).exists(), "it has not written its tokens");
            }
            Ok(())
        },
    )
    .await
}

/// Looks at all masters and nodes of a cluster whose kubeconfig is written.
pub(super) struct Watcher {
    masters: client::Masters,
    kube: kube::Client,
    etcd: etcd::Access,
    etcd_url: String,
    addresses: Vec<SocketAddr>,
    nodes: Vec<String>,
    _stop_probing: DropGuard,
}

impl Watcher {
    pub(super) fn new(cluster: &Cluster) -> Result<Self> {
        let stop = CancellationToken::new();
        let kubeconfig = Kubeconfig::read(&cluster.dir.join("kubeconfig"))?;
        let masters = proxy::masters(&kubeconfig, stop.clone())?;
        let balancer = client::Balancer::new(masters.clone());
        Ok(Self {
            kube: client::kube_client::over_balancer(balancer, "kontiki-up"),
            masters,
            etcd: etcd::Access::load(&cluster.dir.join("etcd"))?,
            etcd_url: format!("https://{}:2379", cluster.hosts[0].address),
            addresses: cluster.masters().map(|host| (host.address, 6443).into()).collect(),
            nodes: cluster.workers().map(|host| host.name.clone()).collect(),
            _stop_probing: stop.drop_guard(),
        })
    }

    /// All masters answer, and as many vote as an odd number allows.
    pub(super) async fn masters(&self, up: &mut Up) -> Result<()> {
        let voters = self.addresses.len() - (self.addresses.len() + 1) % 2;
        let learners = self.addresses.len() - voters;
        until(
            "not all masters serve",
            || up.tend(),
            async || {
                let health: BTreeMap<_, _> = self.masters.list().into_iter().collect();
                for address in &self.addresses {
                    anyhow::ensure!(health.get(address) == Some(&Health::Ready), "{address} is not ready");
                }
                let found = self.etcd.voters_and_learners(&self.etcd_url).await?;
                anyhow::ensure!(found == (voters, learners), "{} vote and {} learn", found.0, found.1);
                Ok(())
            },
        )
        .await
    }

    /// All nodes are Ready.
    pub(super) async fn nodes(&self, up: &mut Up) -> Result<()> {
        until(
            "not all nodes are Ready",
            || up.tend(),
            async || {
                let found = objects::nodes(&self.kube).await?;
                for name in &self.nodes {
                    let node =
                        found.iter().find(|node| node.name == *name).with_context(|| format!("{name} is not there"))?;
                    anyhow::ensure!(node.ready, "{name} is not Ready: {}", node.reason);
                }
                Ok(())
            },
        )
        .await
    }
}

/// Looks again and again, and gives up early when `tend` finds that waiting is of no use.
async fn until(
    what: &str,
    mut tend: impl FnMut() -> Result<()>,
    mut look: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + STAGE_TIMEOUT;
    loop {
        let Err(reason) = look().await else { return Ok(()) };
        tend().with_context(|| what.to_owned())?;
        if Instant::now() > deadline {
            bail!("{what} after {STAGE_TIMEOUT:?}: {reason:#}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
