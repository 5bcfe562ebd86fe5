//! A fault on its way: whom it hits, how it is undone, made, and what shows that it bit.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use proto::etcdserverpb::{MoveLeaderRequest, maintenance_client::MaintenanceClient};
use tokio::time::{Instant, sleep};

use super::{
    faults::{Action, Fault, Target, filter, link, process},
    record::{self, Undo},
};
use crate::{
    etcd::Access,
    up::{
        cluster::Cluster,
        down::{power_off, processes_on},
        process::Process,
    },
};

/// A link that flaps is down for this long, and up for this long.
const FLAP: Duration = Duration::from_millis(500);

/// A fault and its victims.
pub(crate) struct Injection {
    pub(crate) fault: &'static Fault,
    pub(crate) hosts: Vec<String>,
    processes: Vec<Process>,
    lasts: Duration,
    pick: u64,
    /// How often links had changed before.
    link_changes: u64,
}

impl Injection {
    /// Looks at the victims; nothing is changed yet.
    pub(crate) fn prepare(
        cluster: &Cluster,
        fault: &'static Fault,
        hosts: Vec<String>,
        lasts: Duration,
        pick: u64,
    ) -> Result<Self> {
        let processes = match fault.action {
            Action::Kill | Action::Stop | Action::PowerOff | Action::Pause => {
                hosts.iter().map(|host| process::of(cluster, host, fault.role())).collect::<Result<_>>()?
            }
            Action::Filter(_) | Action::Flap | Action::Slow | Action::Transfer => Vec::new(),
        };
        let mut link_changes = 0;
        if fault.action == Action::Flap {
            for host in &hosts {
                link_changes += link::changes(cluster, host)?;
            }
        }
        Ok(Self { fault, hosts, processes, lasts, pick, link_changes })
    }

    /// How to undo it.
    fn undo(&self, cluster: &Cluster) -> Vec<Undo> {
        let role = || self.fault.role().to_owned();
        let hosts = |undo: fn(String) -> Undo| self.hosts.iter().cloned().map(undo).collect();
        match self.fault.action {
            Action::Kill => self.hosts.iter().map(|host| Undo::Start(host.clone(), role())).collect(),
            Action::PowerOff => self.hosts.iter().flat_map(|host| starts(cluster, host)).collect(),
            Action::Stop => {
                let ending = self.hosts.iter().zip(&self.processes);
                ending.map(|(host, process)| Undo::Restart(host.clone(), role(), *process)).collect()
            }
            Action::Pause => self.processes.iter().map(|process| Undo::Continue(*process)).collect(),
            Action::Filter(_) => hosts(Undo::Unfilter),
            Action::Flap => hosts(Undo::PlugIn),
            Action::Slow => hosts(Undo::Unslow),
            Action::Transfer => Vec::new(),
        }
    }

    /// Writes down how to undo it, then makes it.
    pub(crate) async fn inject(&self, cluster: &Cluster, access: &Access) -> Result<()> {
        record::add(cluster, &self.undo(cluster))?;
        match self.fault.action {
            Action::Kill => self.signal_all(Signal::SIGKILL).await,
            Action::Stop => self.signal_all(Signal::SIGTERM).await,
            Action::PowerOff => self.power_off(cluster).await,
            Action::Pause => self.signal_all(Signal::SIGSTOP).await,
            Action::Filter(lost) => self.hosts.iter().try_for_each(|host| {
                filter::add(cluster, host, lost, &filter::others(cluster, host, lost, self.pick), self.lasts)
            }),
            Action::Flap => self.hosts.iter().try_for_each(|host| link::set(cluster, host, false)),
            Action::Slow => self.hosts.iter().try_for_each(|host| link::slow(cluster, host)),
            Action::Transfer => self.transfer(cluster, access).await,
        }
    }

    async fn signal_all(&self, signal: Signal) -> Result<()> {
        let all = self.processes.iter().map(|process| process::signal(process, signal));
        futures_util::future::try_join_all(all).await.map(drop)
    }

    async fn power_off(&self, cluster: &Cluster) -> Result<()> {
        for host in &self.hosts {
            let (cluster, host) = (cluster.clone(), host.clone());
            tokio::task::spawn_blocking(move || power_off(&cluster, &host)).await??;
        }
        Ok(())
    }

    async fn transfer(&self, cluster: &Cluster, access: &Access) -> Result<()> {
        let leader = self.hosts.first().context("nobody leads")?;
        let host = cluster.masters().find(|host| host.name == *leader).context("the leader is no host")?;
        let url = format!("https://{}:2379", host.address);
        let members = access.members(&url, true).await?;
        let others: Vec<u64> = members.iter().filter(|m| m.name != *leader && !m.is_learner).map(|m| m.id).collect();
        ensure!(!others.is_empty(), "no other master votes");
        let picked = usize::try_from(self.pick % others.len() as u64).unwrap_or(0);
        let request = MoveLeaderRequest { target_id: others[picked] };
        MaintenanceClient::new(access.channel(&url)?).move_leader(request).await?;
        Ok(())
    }

    /// Lets it work until then; a link that flaps has to be moved.
    pub(crate) async fn work(&self, cluster: &Cluster, until: Instant) -> Result<()> {
        let mut up = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(FLAP)).await;
            if self.fault.action == Action::Flap {
                up = !up;
                for host in &self.hosts {
                    link::set(cluster, host, up)?;
                }
            }
        }
    }

    /// What shows that it bit; an error says why it did not. Looked at before it is healed.
    pub(crate) fn proof(&self, cluster: &Cluster) -> Result<String> {
        match self.fault.action {
            Action::Kill | Action::Stop => {
                ensure!(self.processes.iter().all(|process| !process.is_alive()), "a process survived");
                Ok(format!("{} ended", listed(&self.processes)))
            }
            Action::PowerOff => {
                let found = self.hosts.iter().map(|host| processes_on(cluster, host)).sum::<usize>();
                ensure!(found == 0, "{found} processes survived");
                Ok(format!("{} and all pods beside it ended", listed(&self.processes)))
            }
            Action::Pause => {
                ensure!(self.processes.iter().all(process::is_stopped), "a process was not stopped");
                Ok(format!("{} stood still", listed(&self.processes)))
            }
            Action::Filter(_) => count("packets dropped", self.sum(|host| filter::dropped(cluster, host))?),
            Action::Slow => count("packets held back", self.sum(|host| link::held_back(cluster, host))?),
            Action::Flap => {
                let changes = self.sum(|host| link::changes(cluster, host))?;
                count("changes of the link", changes.saturating_sub(self.link_changes))
            }
            Action::Transfer => Ok("the leader agreed to hand over".into()),
        }
    }

    fn sum(&self, of: impl Fn(&str) -> Result<u64>) -> Result<u64> {
        self.hosts.iter().map(|host| of(host)).sum()
    }
}

/// Starts whatever runs on a host.
fn starts(cluster: &Cluster, host: &str) -> Vec<Undo> {
    let running = cluster.running().into_iter().filter(|(name, ..)| name == host);
    running.map(|(name, role, _)| Undo::Start(name, role.to_owned())).collect()
}

fn listed(processes: &[Process]) -> String {
    let ids: Vec<String> = processes.iter().map(|process| process.pid().to_string()).collect();
    format!("process {}", ids.join(", "))
}

fn count(what: &str, number: u64) -> Result<String> {
    ensure!(number > 0, "0 {what}");
    Ok(format!("{number} {what}"))
}

/// Whom a fault hits, now that this master leads.
pub(crate) fn victims(cluster: &Cluster, target: Target, leader: &str, pick: u64) -> Result<Vec<String>> {
    let names = |hosts: Vec<&crate::up::cluster::Host>| hosts.into_iter().map(|host| host.name.clone()).collect();
    let masters: Vec<String> = names(cluster.masters().collect());
    let followers: Vec<String> = masters.iter().filter(|name| *name != leader).cloned().collect();
    let one = |among: Vec<String>| {
        let picked = usize::try_from(pick % among.len().max(1) as u64).unwrap_or(0);
        among.into_iter().nth(picked).into_iter().collect::<Vec<_>>()
    };
    let victims = match target {
        Target::Leader => vec![leader.to_owned()],
        Target::Follower => one(followers),
        Target::Master => one(masters),
        Target::Majority => {
            let others = masters.len() / 2;
            std::iter::once(leader.to_owned()).chain(followers.into_iter().take(others)).collect()
        }
        Target::Masters => masters,
        Target::Worker => one(names(cluster.workers().collect())),
    };
    if victims.is_empty() {
        bail!("this cluster has nobody to hit");
    }
    Ok(victims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_are_who_the_target_says() {
        let cluster = Cluster::plan("/tmp/a".into(), 7, 40_000, 3, 2, false);
        let victims = |target, pick| victims(&cluster, target, "m2", pick).unwrap().join(" ");
        assert_eq!(victims(Target::Leader, 5), "m2");
        assert_eq!(victims(Target::Follower, 0), "m1");
        assert_eq!(victims(Target::Follower, 1), "m3");
        assert_eq!(victims(Target::Master, 4), "m2");
        assert_eq!(victims(Target::Majority, 0), "m2 m1");
        assert_eq!(victims(Target::Masters, 9), "m1 m2 m3");
        assert_eq!(victims(Target::Worker, 3), "w2");
    }
}
