//! Injects a schedule round by round: one fault, or two at once; all of a round is healed before the next.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    evidence::Injected,
    faults::{Action, Fault, Target},
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
/// How long a fault may wait for somebody whom it can hit: beside another fault, for the next leader.
const VICTIM_PATIENCE: Duration = Duration::from_secs(10);
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
    /// What a rolling upgrade starts, and how the nodes look then.
    pub(crate) program: PathBuf,
    pub(crate) kube: &'a kube::Client,
    pub(crate) done: Mutex<Done>,
}

/// What came of it so far.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) injected: Vec<Injected>,
    /// Processes that were started again; they outlive the run.
    started: Vec<Child>,
    /// Hosts that are hit at this moment.
    taken: BTreeSet<String>,
}

/// Who is told what happens.
type Say<'a> = RefCell<&'a mut dyn FnMut(&str)>;

impl Driver<'_> {
    /// Injects all of it. However it ends, everything is healed.
    pub(crate) async fn run(&self, schedule: &[Planned], say: &mut dyn FnMut(&str)) -> Result<()> {
        let ended = self.inject_all(schedule, &RefCell::new(say)).await;
        // Each fault was healed on its own; this is for one whose injection or healing failed.
        let healed = record::heal(self.cluster).map(|(_, started)| self.keep(started));
        ended.and(healed)
    }

    async fn inject_all(&self, schedule: &[Planned], say: &Say<'_>) -> Result<()> {
        for round in schedule.chunk_by(|_, next| next.beside) {
            let made: Vec<Option<Injected>> = join_all(round.iter().map(|planned| self.inject(*planned, say)))
                .await
                .into_iter()
                .collect::<Result<_>>()?;
            let mut made: Vec<Injected> = made.into_iter().flatten().collect();
            let recovered = self.recovered().await;
            for one in &mut made {
                one.recovered = recovered;
                let told = outcome(&one.proof, recovered.map(|at| at.saturating_duration_since(one.healed)));
                let which = if round.len() > 1 { format!("{}: ", one.planned.fault.name) } else { String::new() };
                say.borrow_mut()(&format!("          {which}{told}"));
            }
            self.done.lock().injected.extend(made);
            if self.stop.is_cancelled() {
                bail!("it was interrupted");
            }
            if recovered.is_none() {
                // More faults would only hide what this one has broken.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Injects one fault when it is due, and heals it; nothing, when the run is told to end before that.
    async fn inject(&self, planned: Planned, say: &Say<'_>) -> Result<Option<Injected>> {
        let Planned { fault, lasts, pick, at, .. } = planned;
        let due = tokio::time::Instant::from_std(self.epoch + at);
        tokio::select! { () = sleep_until(due) => {}, () = self.stop.cancelled() => return Ok(None) }
        let Some((hosts, leader, term)) = self.choose(fault, pick).await? else { return Ok(None) };
        let mut injection = Injection::prepare(self.cluster, fault, hosts.clone(), lasts, pick).await?;
        let line = format!("{:>6.1} s  {} of {}", self.epoch.elapsed().as_secs_f64(), fault.name, hosts.join(", "));
        say.borrow_mut()(&line);
        let began = Instant::now();
        let made = injection.inject(self.cluster, self.access).await;
        made.with_context(|| format!("{} failed", fault.name))?;
        let proof = self.observe(&mut injection, began, (&leader, term), lasts).await;
        let proof = proof.map_err(|why| format!("{why:#}"));
        let now_leads = self.observer.leader().map(|(leader, _)| leader);
        self.keep(injection.heal(self.cluster)?);
        self.done.lock().taken.retain(|host| !hosts.contains(host));
        let (healed, leaders) = (Instant::now(), (leader, now_leads));
        Ok(Some(Injected { planned, hosts, began, healed, recovered: None, proof, leaders }))
    }

    /// Whom it hits, who leads, and in which term; beside another fault, that may have to be waited for. Nothing, when the run is
    /// told to end.
    async fn choose(&self, fault: &Fault, pick: u64) -> Result<Option<(Vec<String>, String, u64)>> {
        let choice = async {
            loop {
                match self.take(fault, pick) {
                    Some(chosen) => return chosen,
                    None => sleep(PAUSE).await,
                }
            }
        };
        tokio::select! {
            chosen = timeout(VICTIM_PATIENCE, choice) => {
                let none = || format!("there is nobody whom {} could hit: {}", fault.name, fault.about);
                chosen.map(Some).with_context(none)
            }
            () = self.stop.cancelled() => Ok(None),
        }
    }

    /// No host is hit by two faults, but by one that is on every host.
    fn take(&self, fault: &Fault, pick: u64) -> Option<(Vec<String>, String, u64)> {
        let (leader, term) = self.observer.leader().unzip();
        let mut done = self.done.lock();
        let hosts = victims(self.cluster, fault.target, leader.as_deref(), pick, &done.taken)?;
        if fault.target != Target::Every {
            done.taken.extend(hosts.iter().cloned());
        }
        Some((hosts, leader.unwrap_or_else(|| "nobody".into()), term.unwrap_or_default()))
    }

    /// Lets the fault work, and gives what shows that it bit.
    async fn observe(
        &self,
        injection: &mut Injection,
        began: Instant,
        (leader, term): (&str, u64),
        lasts: Duration,
    ) -> Result<String> {
        let until = tokio::time::Instant::from_std(began + lasts);
        let work = async {
            match injection.fault.action {
                Action::Upgrade => self.upgrade(&injection.hosts).await.map(Some),
                _ => injection.work(self.cluster, self.kube, until).await.map(|()| None),
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

    async fn upgrade(&self, hosts: &[String]) -> Result<String> {
        let upgrade =
            Upgrade { cluster: self.cluster, observer: self.observer, kube: self.kube, program: &self.program };
        let mut started = Vec::new();
        let told = upgrade.run(hosts, &mut started).await;
        self.keep(started);
        told
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

    fn keep(&self, started: Vec<Child>) {
        let mut done = self.done.lock();
        done.started.extend(started);
        // Those that were killed again are not left as zombies.
        done.started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
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
