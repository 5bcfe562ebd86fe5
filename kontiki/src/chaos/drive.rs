//! Injects a schedule, one fault after the other, and heals each before the next.

use std::{
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    evidence::Injected,
    faults::{Action, Fault},
    injection::Injection,
    observer::Observer,
    record,
    schedule::Planned,
    upgrade::Upgrade,
    victims::victims,
};
use crate::{etcd::Access, up::cluster::Cluster};

/// How long another master may take to lead, beyond the time that the fault is left to work.
const UNSEAT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the cluster may take to be whole again after a fault is healed.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// The injection of a schedule into a cluster.
pub(crate) struct Driver<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) access: &'a Access,
    pub(crate) observer: &'a Observer,
    /// When the run began.
    pub(crate) epoch: Instant,
    /// Cancelled by Ctrl-C and SIGTERM.
    pub(crate) stop: CancellationToken,
    pub(crate) injected: Vec<Injected>,
    /// What a rolling upgrade starts, and how the nodes look then.
    pub(crate) program: PathBuf,
    pub(crate) kube: &'a kube::Client,
    /// Processes that were started again; they outlive the run.
    pub(crate) started: Vec<Child>,
}

impl Driver<'_> {
    /// Injects all of it. However it ends, everything is healed.
    pub(crate) async fn run(&mut self, schedule: &[Planned], say: &mut dyn FnMut(&str)) -> Result<()> {
        let ended = self.inject_all(schedule, say).await;
        // Each fault was healed on its own; this is for one whose injection or healing failed.
        let healed = self.heal();
        ended.and(healed)
    }

    async fn inject_all(&mut self, schedule: &[Planned], say: &mut dyn FnMut(&str)) -> Result<()> {
        for planned in schedule {
            let due = tokio::time::Instant::from_std(self.epoch + planned.at);
            let stopped = self.stop.clone();
            tokio::select! { () = sleep_until(due) => {}, () = stopped.cancelled() => {} }
            if self.stop.is_cancelled() {
                bail!("it was interrupted");
            }
            self.inject(*planned, say).await?;
            if self.injected.last().is_some_and(|last| last.recovered.is_none()) {
                // More faults would only hide what this one has broken.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn inject(&mut self, planned: Planned, say: &mut dyn FnMut(&str)) -> Result<()> {
        let Planned { fault, lasts, pick, .. } = planned;
        let (leader, term) = self.observer.leader().context("nobody leads")?;
        let hosts = victims(self.cluster, fault.target, &leader, pick)?;
        let mut injection = Injection::prepare(self.cluster, fault, hosts.clone(), lasts, pick).await?;
        say(&format!("{:>6.1} s  {} of {}", self.epoch.elapsed().as_secs_f64(), fault.name, hosts.join(", ")));
        let began = Instant::now();
        injection.inject(self.cluster, self.access).await.with_context(|| format!("{} failed", fault.name))?;
        let proof = self.observe(&mut injection, began, (&leader, term), lasts).await;
        let proof = proof.map_err(|why| format!("{why:#}"));
        let now_leads = self.observer.leader().map(|(leader, _)| leader);
        self.heal()?;
        let healed = Instant::now();
        let recovered = self.recovered().await;
        say(&format!("          {}", outcome(&proof, recovered.map(|at| at.duration_since(healed)))));
        let leaders = (leader, now_leads);
        self.injected.push(Injected { planned, hosts, began, healed, recovered, proof, leaders });
        Ok(())
    }

    /// Lets the fault work, and gives what shows that it bit.
    async fn observe(
        &mut self,
        injection: &mut Injection,
        began: Instant,
        (leader, term): (&str, u64),
        lasts: Duration,
    ) -> Result<String> {
        let until = tokio::time::Instant::from_std(began + lasts);
        let upgrade =
            Upgrade { cluster: self.cluster, observer: self.observer, kube: self.kube, program: &self.program };
        let work = async {
            match injection.fault.action {
                Action::Upgrade => upgrade.run(&injection.hosts, &mut self.started).await.map(Some),
                _ => injection.work(self.cluster, until).await.map(|()| None),
            }
        };
        let told = tokio::select! { told = work => told?, () = self.stop.cancelled() => None };
        let unseated = self.unseated(injection.fault, began, leader, term).await?;
        let proof = told.map_or_else(|| injection.proof(self.cluster), Ok)?;
        Ok(match unseated {
            Some((other, after)) => format!("{proof}; {other} leads after {:.2} s", after.as_secs_f64()),
            None => proof,
        })
    }

    /// Waits until another master leads, where the fault has to bring that about; says which, and how soon.
    async fn unseated(
        &self,
        fault: &Fault,
        began: Instant,
        leader: &str,
        term: u64,
    ) -> Result<Option<(String, Duration)>> {
        if !fault.unseats {
            return Ok(None);
        }
        let another = async {
            loop {
                let (looks, _) = self.observer.story();
                let mut later = looks.into_iter().filter(|look| look.at >= began && look.term > term);
                if let Some((at, other)) =
                    later.find_map(|look| Some((look.at, look.leader.filter(|other| other != leader)?)))
                {
                    return (other, at.duration_since(began));
                }
                sleep(PAUSE).await;
            }
        };
        let found = timeout(UNSEAT_PATIENCE, another).await;
        found.map(Some).map_err(|_| anyhow::anyhow!("{leader} is still the last one that led"))
    }

    fn heal(&mut self) -> Result<()> {
        let (_, started) = record::heal(self.cluster)?;
        self.started.extend(started);
        // Those that were killed again are not left as zombies.
        self.started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        Ok(())
    }

    /// When all masters follow one leader and all processes run; none when that takes too long.
    async fn recovered(&self) -> Option<Instant> {
        let masters: Vec<String> = self.cluster.masters().map(|host| host.name.clone()).collect();
        let all: usize = self.cluster.hosts.iter().map(|h| usize::from(h.master) + usize::from(h.worker)).sum();
        let whole = async {
            while self.observer.trouble(&masters).is_some() || self.cluster.running().len() < all {
                sleep(PAUSE).await;
            }
        };
        timeout(RECOVERY_PATIENCE, whole).await.ok().map(|()| Instant::now())
    }
}

fn outcome(proof: &Result<String, String>, recovery: Option<Duration>) -> String {
    let proof = match proof {
        Ok(proof) => proof.clone(),
        Err(why) => format!("DID NOT BITE: {why}"),
    };
    match recovery {
        Some(took) => format!("{proof}; whole again {:.2} s after healing", took.as_secs_f64()),
        None => format!("{proof}; NOT WHOLE AGAIN within {} s of healing", RECOVERY_PATIENCE.as_secs()),
    }
}
