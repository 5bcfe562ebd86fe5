//! What must be so before the first fault: every complaint names its fix, and nothing was injected yet.

use std::{collections::BTreeSet, fs::OpenOptions, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use super::{faults::Fault, observer::Observer, probes::Prober, record};
use crate::{objects, up::cluster::Cluster};

/// How long a healthy cluster may take to show that it is: on a crowded machine it may just elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a probe may take to succeed once.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The programs that these faults need are there.
pub(crate) fn programs(faults: &[&'static Fault]) -> Result<()> {
    let needed: BTreeSet<(&str, &str)> = faults.iter().filter_map(|fault| fault.program()).collect();
    for (program, package) in needed {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path);
        ensure!(
            folders.any(|folder| folder.join(program).exists()),
            "there is no `{program}` on this machine: install it (`apt-get install {package}`)"
        );
    }
    Ok(())
}

/// What is to be written in the end can be written.
pub(crate) fn writable<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    for file in files {
        let opened = OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write {}: name a file in a folder that exists", file.display()))?;
    }
    Ok(())
}

/// Takes hold of the cluster and heals what a killed run left.
pub(crate) fn take(cluster: &Cluster, say: &mut dyn FnMut(&str)) -> Result<record::Hold> {
    let Some(held) = record::hold_patiently(cluster)? else {
        bail!("another `kontiki chaos` is at work on this cluster: wait until it ends");
    };
    // The processes that this starts are this machine's from now on, as those of `kontiki up` are.
    for undone in record::heal(cluster)?.0 {
        say(&format!("Healed what an earlier run left: {}", undone.describe()));
    }
    Ok(held)
}

/// Every process runs, all masters follow one leader, all nodes are Ready.
pub(crate) async fn healthy(cluster: &Cluster, observer: &Observer, kube: &kube::Client) -> Result<()> {
    let why = match processes(cluster) {
        Ok(()) => until(PATIENCE, async || serves(cluster, observer, kube).await).await,
        // What has ended does not come back by itself.
        Err(why) => Err(why),
    };
    why.map_err(|why| {
        why.context(
            "the cluster is not healthy, so nothing was injected: `kontiki up` starts what does not run, \
             `kontiki status` shows more",
        )
    })
}

fn processes(cluster: &Cluster) -> Result<()> {
    let running = cluster.running();
    for host in &cluster.hosts {
        for (role, wanted) in [("server", host.master), ("agent", host.worker)] {
            let runs = running.iter().any(|(name, has, _)| *name == host.name && *has == role);
            ensure!(runs || !wanted, "{role} on {} does not run", host.name);
        }
    }
    Ok(())
}

async fn serves(cluster: &Cluster, observer: &Observer, kube: &kube::Client) -> Result<()> {
    let masters: Vec<String> = cluster.masters().map(|host| host.name.clone()).collect();
    if let Some(trouble) = observer.trouble(&masters) {
        bail!("{trouble}");
    }
    let ready = objects::nodes(kube).await?;
    for host in cluster.workers() {
        let is_ready = ready.iter().any(|node| node.name == host.name && node.ready);
        ensure!(is_ready, "the node {} is not Ready", host.name);
    }
    Ok(())
}

/// Every probe succeeds.
pub(crate) async fn probes_succeed(probers: &[Prober]) -> Result<()> {
    for prober in probers {
        until(PROBE_PATIENCE, async || last_look(prober)).await.map_err(|why| {
            why.context(format!("the probe {} fails before any fault, so nothing was injected", prober.name()))
        })?;
    }
    Ok(())
}

/// The outcome of a probe's last look.
pub(crate) fn last_look(prober: &Prober) -> Result<()> {
    match prober.last() {
        Some(sample) => sample.failure.map_or(Ok(()), |why| Err(anyhow::anyhow!(why))),
        None => Err(anyhow::anyhow!("it has not looked yet")),
    }
}

async fn until(patience: Duration, mut look: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Err(why) if Instant::now() > deadline => return Err(why),
            Err(_) => sleep(PAUSE).await,
            Ok(()) => return Ok(()),
        }
    }
}
