//! A fault on its way: whom it hits, how it is undone, made, and what shows that it bit.

use std::{path::PathBuf, process::Child, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use proto::etcdserverpb::{MoveLeaderRequest, maintenance_client::MaintenanceClient};
use tokio::time::{Instant, sleep, timeout};

use super::{
    faults::{
        Action, Fault,
        cgroup::{self, Short},
        clock::{self, Moved, Seen},
        descriptors::{self, Crowd},
        filter, flushes, link, process,
    },
    record::{self, Undo},
};
use crate::{
    etcd::Access,
    up::{
        cluster::{Cluster, Host},
        down::{power_off, processes_on},
        process::Process,
    },
};

/// A link that flaps is down for this long, and up for this long; other faults are looked after as often.
const TICK: Duration = Duration::from_millis(500);
/// One flush may take long on any disk.
const LONG_FLUSHES_MIN: u64 = 2;
/// How long a master may take to tell of its flushes.
const METRICS_PATIENCE: Duration = Duration::from_secs(2);

/// A fault and its victims.
pub(crate) struct Injection {
    pub(crate) fault: &'static Fault,
    pub(crate) hosts: Vec<String>,
    processes: Vec<Process>,
    lasts: Duration,
    pick: u64,
    before: Before,
    /// Of a fault that is looked after: connections that wait, flushes that took long, and what time it was to whom.
    crowd: Crowd,
    long_flushes: u64,
    clocks: Seen,
    /// What undoes it, once it is made.
    undo: Vec<Undo>,
}

/// What was, before anything was changed.
#[derive(Default)]
struct Before {
    /// How often links had changed.
    link_changes: u64,
    /// How many descriptors each process might have.
    descriptors: Vec<u64>,
    /// The group that each process was in.
    groups: Vec<PathBuf>,
    /// How many flushes of the log had taken long.
    long_flushes: u64,
}

impl Injection {
    /// Looks at the victims; nothing is changed yet.
    pub(crate) async fn prepare(
        cluster: &Cluster,
        fault: &'static Fault,
        hosts: Vec<String>,
        lasts: Duration,
        pick: u64,
    ) -> Result<Self> {
        let processes = match fault.action {
            Action::Filter(_) | Action::Flap | Action::Slow => Vec::new(),
            Action::Transfer | Action::Upgrade | Action::Clock(_) => Vec::new(),
            _ => hosts.iter().map(|host| process::of(cluster, host, fault.role())).collect::<Result<_>>()?,
        };
        let mut this = Self {
            fault,
            hosts,
            processes,
            lasts,
            pick,
            before: Before::default(),
            crowd: Crowd::default(),
            long_flushes: 0,
            clocks: Seen::from_now(),
            undo: Vec::new(),
        };
        this.before = this.look(cluster).await?;
        Ok(this)
    }

    async fn look(&self, cluster: &Cluster) -> Result<Before> {
        let mut before = Before::default();
        match self.fault.action {
            Action::Flap => before.link_changes = self.sum(|host| link::changes(cluster, host))?,
            Action::LimitDescriptors => {
                before.descriptors = self.processes.iter().map(descriptors::limit).collect::<Result<_>>()?;
            }
            Action::LimitMemory => {
                before.groups = self.processes.iter().map(|p| cgroup::own(Short::Memory, p)).collect::<Result<_>>()?;
            }
            Action::SlowDisk => {
                before.groups = self.processes.iter().map(|p| cgroup::own(Short::Disk, p)).collect::<Result<_>>()?;
                before.long_flushes = self.long_flushes(cluster).await?;
            }
            _ => {}
        }
        Ok(before)
    }

    /// How to undo it.
    fn how_to_undo(&self, cluster: &Cluster) -> Vec<Undo> {
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
            Action::Clock(_) => hosts(Undo::SetClock),
            // An upgrade writes down each step of its own.
            Action::Transfer | Action::Upgrade => Vec::new(),
            Action::LimitDescriptors => {
                let limits = self.processes.iter().zip(&self.before.descriptors);
                limits.map(|(process, limit)| Undo::Descriptors(*process, *limit)).collect()
            }
            Action::LimitMemory => {
                let starts = self.hosts.iter().map(|host| Undo::Start(host.clone(), role()));
                self.releases(Short::Memory).chain(starts).collect()
            }
            Action::SlowDisk => self.releases(Short::Disk).collect(),
        }
    }

    fn releases(&self, short: Short) -> impl Iterator<Item = Undo> {
        let groups = self.hosts.iter().zip(&self.before.groups);
        groups.map(move |(host, group)| Undo::Release(host.clone(), short, group.clone()))
    }

    /// Writes down how to undo it, then makes it.
    pub(crate) async fn inject(&mut self, cluster: &Cluster, access: &Access) -> Result<()> {
        self.undo = self.how_to_undo(cluster);
        record::add(cluster, &self.undo)?;
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
            Action::LimitDescriptors => self.processes.iter().try_for_each(|process| {
                let open = descriptors::open(process)?.len();
                descriptors::set(process, u64::try_from(open)?)
            }),
            Action::LimitMemory => {
                self.confine(cluster, Short::Memory)?;
                self.all_end().await
            }
            Action::SlowDisk => self.confine(cluster, Short::Disk),
            Action::Clock(moved) => self.move_clocks(cluster, moved, 0),
            Action::Upgrade => Ok(()),
        }
    }

    /// Undoes it, and gives the processes that were started for that.
    pub(crate) fn heal(&self, cluster: &Cluster) -> Result<Vec<Child>> {
        record::heal_one(cluster, &self.undo)
    }

    fn move_clocks(&self, cluster: &Cluster, moved: Moved, turn: u64) -> Result<()> {
        let mut hosts = self.hosts.iter().enumerate();
        hosts.try_for_each(|(at, host)| clock::set(cluster, host, clock::ahead(moved, at, turn, self.pick)))
    }

    fn confine(&self, cluster: &Cluster, short: Short) -> Result<()> {
        for (host, process) in self.hosts.iter().zip(&self.processes) {
            cgroup::make(cluster, host, short)?;
            cgroup::enter(cluster, host, short, process)?;
        }
        Ok(())
    }

    async fn all_end(&self) -> Result<()> {
        let all = self.processes.iter().map(process::ended);
        futures_util::future::try_join_all(all).await.map(drop)
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

    /// Lets it work until then, and looks after what has to be.
    pub(crate) async fn work(&mut self, cluster: &Cluster, kube: &kube::Client, until: Instant) -> Result<()> {
        let (mut up, began) = (false, Instant::now());
        let middle = began + until.saturating_duration_since(began) / 2;
        let mut turn = 0;
        loop {
            match self.fault.action {
                Action::Flap => {
                    for host in &self.hosts {
                        link::set(cluster, host, up)?;
                    }
                    up = !up;
                }
                Action::LimitDescriptors => {
                    for (host, process) in self.hosts.iter().zip(&self.processes) {
                        self.crowd.press(process, known(cluster, host)?.address).await?;
                    }
                }
                Action::Clock(moved) => {
                    for host in &self.hosts {
                        self.clocks.look(cluster, kube, known(cluster, host)?).await;
                    }
                    let next = match moved {
                        Moved::Jumps => u64::from(Instant::now() >= middle),
                        Moved::Strobes => turn + 1,
                        Moved::Apart => 0,
                    };
                    if next != turn {
                        self.move_clocks(cluster, moved, next)?;
                        turn = next;
                    }
                }
                // A master whose disk stalls may have no time for this.
                Action::SlowDisk => {
                    if let Ok(long) = self.long_flushes(cluster).await {
                        self.long_flushes = long.saturating_sub(self.before.long_flushes);
                    }
                }
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(TICK)).await;
        }
    }

    async fn long_flushes(&self, cluster: &Cluster) -> Result<u64> {
        let mut all = 0;
        for host in &self.hosts {
            let told = timeout(METRICS_PATIENCE, flushes::long(cluster, known(cluster, host)?)).await;
            all += told.with_context(|| format!("{host} tells no metrics"))??;
        }
        Ok(all)
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
                count("changes of the link", changes.saturating_sub(self.before.link_changes))
            }
            Action::Transfer => Ok("the leader agreed to hand over".into()),
            Action::LimitDescriptors => {
                let proofs = self.processes.iter().map(|process| self.crowd.proof(process));
                Ok(proofs.collect::<Result<Vec<_>>>()?.join("; "))
            }
            Action::LimitMemory => {
                ensure!(self.processes.iter().all(|process| !process.is_alive()), "a process survived");
                let kills = self.sum(|host| cgroup::kills(cluster, host))?;
                ensure!(kills > 0, "the kernel ended nothing for want of memory");
                Ok(format!("{} was ended by the kernel for want of memory", listed(&self.processes)))
            }
            Action::Upgrade => bail!("nothing was upgraded"),
            Action::Clock(_) => self.clocks.proof(&self.hosts),
            Action::SlowDisk => {
                ensure!(self.processes.iter().all(Process::is_alive), "a process did not survive it");
                let told = format!("{} flushes of the log took long", self.long_flushes);
                ensure!(self.long_flushes >= LONG_FLUSHES_MIN, "only {told}");
                Ok(told)
            }
        }
    }

    fn sum(&self, of: impl Fn(&str) -> Result<u64>) -> Result<u64> {
        self.hosts.iter().map(|host| of(host)).sum()
    }
}

fn known<'a>(cluster: &'a Cluster, host: &str) -> Result<&'a Host> {
    cluster.hosts.iter().find(|known| known.name == host).with_context(|| format!("there is no host {host}"))
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
