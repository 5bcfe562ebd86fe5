//! `kontiki up`: a cluster on this machine, every host a network namespace with real processes of this binary.
//!
//! Hosts join with tokens exactly as real machines do; nothing here knows a shortcut. What is made outside the cluster's
//! folder carries the folder's tag, and `cluster.json` is written first, so that [`down`] finds everything after any crash.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::time::Instant;

use crate::{
    chaos,
    cli::{MasterArgs, RestoreArgs, UpArgs},
    credential, files, snapshot,
};

pub(crate) mod cluster;
pub(crate) mod down;
pub(crate) mod network;
mod output;
pub(crate) mod preflight;
pub(crate) mod process;
mod readiness;
pub(crate) mod start;

use cluster::{Cluster, Host};
use process::Process;
use readiness::Watcher;

/// Held while a free subnet is chosen and taken.
const LOCK: &str = "/run/lock/kontiki-up.lock";

/// Starts a cluster, or says that it runs.
pub(crate) async fn run(args: UpArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let start = Instant::now();
    apiserver::RuntimeConfig::parse(&args.runtime_config).context("--runtime-config")?;
    preflight::check(args.single || args.workers > 0)?;
    let dir = absolute(&args.folder.dir)?;
    let known = Cluster::load(&dir)?;
    if let Some(cluster) = &known {
        // What a killed `kontiki chaos` left would keep the cluster from coming up.
        chaos::heal_leftovers(cluster, say)?;
    }
    if known.is_some() && args.restore.is_some() {
        bail!("there is a cluster in {}: restore into another folder with --dir", dir.display());
    }
    if let Some(cluster) = &known {
        let expected: usize = cluster.hosts.iter().map(|h| usize::from(h.master) + usize::from(h.worker)).sum();
        if cluster.running().len() == expected {
            say(&format!("The cluster in {} is running already; `kontiki status` shows it.", dir.display()));
            return Ok(());
        }
    }
    let fresh = known.is_none();
    let cluster = match known {
        Some(mut cluster) => {
            say("Starting again what does not run");
            if !args.runtime_config.is_empty() {
                cluster.runtime_config.clone_from(&args.runtime_config);
                cluster.save()?;
            }
            network::create(&cluster)?;
            cluster
        }
        None => plan(&args, dir)?,
    };
    let restore = args.restore.zip(args.keys_from).map(|(file, keys_from)| Restore { file, keys_from });
    let mut up = Up { cluster, children: BTreeMap::new(), start };
    match up.bring_up(fresh, restore, say).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let error = up.explain(error);
            if fresh {
                down::remove(&up.cluster).context(format!("{error:#}; and what was started could not be removed"))?;
            }
            Err(error)
        }
    }
}

/// Ends the cluster of a folder.
pub(crate) fn down(dir: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "kontiki down removes network namespaces, which needs root: use `sudo`"
    );
    let dir = absolute(dir)?;
    match Cluster::load(&dir)? {
        Some(cluster) => {
            down::remove(&cluster)?;
            say(&format!(
                "The cluster in {} is gone: no process, namespace, mount, cgroup or file is left.",
                dir.display()
            ));
        }
        None => say(&format!("There is no cluster in {}.", dir.display())),
    }
    Ok(())
}

/// Chooses names and addresses, writes them down, and builds the network.
fn plan(args: &UpArgs, dir: PathBuf) -> Result<Cluster> {
    if dir.exists() && dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty and holds no cluster: name another folder with --dir, or empty it", dir.display());
    }
    files::private_folder(&dir)?;
    let lock = File::create(LOCK).with_context(|| format!("cannot write {LOCK}"))?;
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).context("cannot lock")?;
    let (masters, workers) = if args.single { (1, 0) } else { (args.masters, args.workers) };
    let mut cluster = Cluster::plan(dir, 0, preflight::free_port()?, masters, workers, args.single);
    // Clusters of one machine begin to look at different places, so that their networks rarely move.
    let first = u8::from_str_radix(&cluster.tag[..2], 16).unwrap_or(0);
    cluster =
        Cluster::plan(cluster.dir, network::free_subnet(first)?, cluster.proxy_port, masters, workers, args.single);
    cluster.runtime_config.clone_from(&args.runtime_config);
    cluster.save()?;
    let built = network::create(&cluster);
    drop(lock);
    if let Err(error) = built {
        down::remove(&cluster).context(format!("{error:#}; and the half-made network could not be removed"))?;
        return Err(error);
    }
    Ok(cluster)
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    match fs::canonicalize(&dir) {
        Ok(real) => Ok(real),
        Err(_) => Ok(dir),
    }
}

/// A cluster being brought up.
struct Up {
    cluster: Cluster,
    /// The processes that this command started, by host and role.
    children: BTreeMap<(String, &'static str), Child>,
    start: Instant,
}

impl Up {
    async fn bring_up(&mut self, fresh: bool, restore: Option<Restore>, say: &mut dyn FnMut(&str)) -> Result<()> {
        let first = &self.cluster.hosts.first().context("a cluster has at least one master")?.clone();
        files::private_folder(&self.cluster.dir.join("images"))?;
        if !self.runs(first, "server") {
            if fresh && let Some(restore) = restore {
                let args = restore.for_host(first, self.cluster.host_dir(&first.name).join("server"));
                files::private_folder(&self.cluster.host_dir(&first.name))?;
                snapshot::restore(&args, say).await?;
            }
            self.start(first, "server", fresh)?;
        }
        if fresh {
            readiness::first_master(self).await?;
            output::write(&self.cluster)?;
            say(&format!("first master serves ({})", self.elapsed()));
        }
        self.start_missing()?;
        let watcher = Watcher::new(&self.cluster)?;
        watcher.masters(self).await?;
        let (masters, nodes) = (self.cluster.masters().count(), self.cluster.workers().count());
        say(&format!("{masters} of {masters} masters serve ({})", self.elapsed()));
        if nodes > 0 {
            watcher.nodes(self).await?;
            say(&format!("{nodes} of {nodes} nodes are Ready ({})", self.elapsed()));
        }
        let address = ([127, 0, 0, 1], self.cluster.proxy_port).into();
        credential::ensure_proxy(&self.cluster.dir, address).await?;
        output::hand_over(&self.cluster)?;
        say(&output::greeting(&self.cluster, self.start.elapsed()));
        Ok(())
    }

    /// Starts every process that should run and does not. One that was killed a moment ago may still be on its way out, so
    /// that a single look is not enough.
    fn start_missing(&mut self) -> Result<()> {
        for host in self.cluster.hosts.clone() {
            if host.master && self.is_missing(&host, "server") {
                self.start(&host, "server", false)?;
            }
            if host.worker && self.is_missing(&host, "agent") {
                self.start(&host, "agent", false)?;
            }
        }
        Ok(())
    }

    /// Fails when a process that this command started has ended: starting it again would not help.
    fn find_ended(&mut self) -> Result<()> {
        for ((host, role), child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                bail!("{role} on {host} ended ({status})");
            }
        }
        Ok(())
    }

    /// Both, while a cluster is waited for.
    fn tend(&mut self) -> Result<()> {
        self.find_ended()?;
        self.start_missing()
    }

    fn is_missing(&self, host: &Host, role: &'static str) -> bool {
        !self.children.contains_key(&(host.name.clone(), role)) && !self.runs(host, role)
    }

    fn elapsed(&self) -> String {
        format!("{:.1} s", self.start.elapsed().as_secs_f64())
    }

    fn runs(&self, host: &Host, role: &str) -> bool {
        Process::load(&self.cluster.process_file(&host.name, role)).is_some_and(|process| process.is_alive())
    }

    fn start(&mut self, host: &Host, role: &'static str, fresh: bool) -> Result<()> {
        let child = start::start(&self.cluster, host, role, fresh)?;
        self.children.insert((host.name.clone(), role), child);
        Ok(())
    }

    /// Adds what the hosts' logs say last, where a process has ended.
    fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let mut text = format!("{error:#}");
        for ((host, role), child) in &mut self.children {
            let Ok(Some(status)) = child.try_wait() else { continue };
            let log = self.cluster.host_dir(host).join(format!("{role}.log"));
            let tail = fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = tail.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            text.push_str(&format!("\n{role} on {host} ended ({status}); it said last:\n  {}", tail.join("\n  ")));
        }
        anyhow::anyhow!(text)
    }
}

/// What a new cluster begins with.
struct Restore {
    file: PathBuf,
    keys_from: PathBuf,
}

impl Restore {
    fn for_host(self, host: &Host, dir: PathBuf) -> RestoreArgs {
        RestoreArgs {
            file: self.file,
            dir,
            keys_from: self.keys_from,
            skip_revisions: store::restore::REVISIONS_SKIPPED,
            master: MasterArgs {
                name: Some(host.name.clone()),
                advertise_address: Some(host.address.into()),
                ..MasterArgs::default()
            },
        }
    }
}
