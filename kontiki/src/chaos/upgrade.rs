//! A rolling upgrade: one process after the other is ended in order and started with another file, the leader's last.
//!
//! The next one waits until this one does its work again. One that does not is started with its old file, and the rest stays
//! as it is. What was upgraded stays upgraded, also where it is killed and started again later.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use super::{
    faults::process,
    observer::Observer,
    record::{self, Undo},
};
use crate::{
    objects,
    up::{
        cluster::{Cluster, Host},
        process::Process,
        start,
    },
};

/// How long a process may take to do its work again.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// How long a program may take to say which one it is.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);

/// The file that a cluster is upgraded to: this program's own one, if none is named. It must be a kontiki.
pub(crate) async fn program(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        return std::env::current_exe().context("cannot find this program's own file");
    };
    let path = fs::canonicalize(named).with_context(|| format!("there is no file {}", named.display()))?;
    let hint = || format!("{} is no kontiki that runs here: name another file with --upgrade-to", path.display());
    let output = timeout(VERSION_PATIENCE, Command::new(&path).arg("--version").kill_on_drop(true).output()).await;
    let output = output.with_context(hint)?.with_context(hint)?;
    ensure!(output.status.success() && output.stdout.starts_with(b"kontiki "), hint());
    Ok(path)
}

/// An upgrade of a cluster.
pub(crate) struct Upgrade<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) observer: &'a Observer,
    pub(crate) kube: &'a kube::Client,
    pub(crate) program: &'a Path,
}

impl Upgrade<'_> {
    /// Upgrades these hosts in this order, and tells what shows that it is done. The processes that it starts are added to
    /// `started`, also where it fails.
    pub(crate) async fn run(&self, hosts: &[String], started: &mut Vec<Child>) -> Result<String> {
        for name in hosts {
            let host = self.cluster.hosts.iter().find(|host| host.name == *name);
            let host = host.with_context(|| format!("there is no host {name}"))?;
            for (role, has) in [("server", host.master), ("agent", host.worker)] {
                if has {
                    let upgraded = self.upgrade(host, role, started).await;
                    upgraded.with_context(|| format!("{role} on {name} is not upgraded"))?;
                }
            }
        }
        Ok(format!("{} run {}", hosts.join(", "), self.program.display()))
    }

    async fn upgrade(&self, host: &Host, role: &'static str, started: &mut Vec<Child>) -> Result<()> {
        let old = process::of(self.cluster, &host.name, role)?;
        let restart = |process: Process| Undo::Restart(host.name.clone(), role.to_owned(), process);
        let mut undo = vec![restart(old)];
        record::add(self.cluster, &undo)?;
        process::signal(&old, Signal::SIGTERM).await?;
        let before = Before { renewed: self.renewed(host, role).await?, at: Instant::now() };
        started.push(start::with(self.cluster, host, role, self.program)?);
        let new = process::of(self.cluster, &host.name, role).context("it ended at once: its log says why")?;
        undo.push(restart(new));
        record::add(self.cluster, &undo)?;
        self.works_again(host, role, &new, &before).await?;
        let runs = fs::read_link(format!("/proc/{}/exe", new.pid()))?;
        ensure!(runs == self.program, "it runs {}", runs.display());
        start::keep(self.cluster, &host.name, role, self.program)?;
        record::forget(self.cluster, &undo)
    }

    /// Waits until a server follows a leader, or an agent has renewed its node's lease.
    async fn works_again(&self, host: &Host, role: &str, process: &Process, before: &Before) -> Result<()> {
        let masters: Vec<String> = self.cluster.masters().map(|host| host.name.clone()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            ensure!(process.is_alive(), "it has ended: its log says why");
            let why = if role == "server" {
                let silent = !self.observer.has_answered_since(&host.name, before.at);
                let silent = silent.then(|| "it does not answer".to_owned());
                silent.or_else(|| self.observer.trouble(&masters))
            } else {
                let renewed = self.renewed(host, role).await;
                let works = renewed.is_ok_and(|renewed| renewed != before.renewed);
                (!works).then(|| "it does not renew the lease of its node".to_owned())
            };
            match why {
                None => return Ok(()),
                Some(why) if Instant::now() > deadline => bail!("{why} after {PATIENCE:?}"),
                Some(_) => sleep(PAUSE).await,
            }
        }
    }

    /// When the lease of a worker's node was last renewed.
    async fn renewed(&self, host: &Host, role: &str) -> Result<Option<String>> {
        match role {
            "server" => Ok(None),
            _ => Ok(objects::renewals(self.kube).await?.remove(&host.name)),
        }
    }
}

/// What was when the old process had ended.
struct Before {
    renewed: Option<String>,
    at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_kontiki_is_refused() {
        assert_eq!(program(None).await.unwrap(), std::env::current_exe().unwrap());
        let refusal = async |path: &str| format!("{:#}", program(Some(Path::new(path))).await.unwrap_err());
        assert!(refusal("/no/such/file").await.contains("there is no file /no/such/file"));
        assert!(refusal("/bin/true").await.contains("is no kontiki that runs here"));
        assert!(refusal("/etc/passwd").await.contains("is no kontiki that runs here"));
    }
}
