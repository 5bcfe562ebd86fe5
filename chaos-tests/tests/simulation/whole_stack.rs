//! The whole stack, over simulated TCP: what the other simulations leave out, since they carry messages and requests. Frames of HTTP/2,
//! TLS, connections that break or are held up, balancers that probe and choose, and everything above.
//!
//! turmoil runs every host by a tick of a millisecond, so this is slow, and few runs must do. TLS draws its keys by chance of the
//! system, so the same seed gives the same faults, not the same bytes.

mod master;
mod network;
mod users;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::surroundings::Planted;
use store::Start;
use tokio_util::sync::CancellationToken;
use turmoil::Sim;

use crate::chance::Chance;
use master::{MASTERS, Machine, join, name};
use users::Seen;

const SEEDS: u64 = 4;
const WRITERS: u64 = 2;
const WATCHERS: u64 = 2;
const PODS: u64 = 5;
/// Until all masters vote.
const CREATION: Duration = Duration::from_secs(20);
/// How many faults there are in a run.
const FAULTS: usize = 12;
/// How soon after the last fault everything is as it should be. A connection on which a packet was lost hangs until somebody asks
/// whether the other end is there: nothing is sent again on this network.
const RECOVERY: Duration = Duration::from_secs(50);
const LONGEST: Duration = Duration::from_secs(200);
/// As many segments may be under way on a connection.
const SEGMENTS: usize = 4096;

/// What is done to the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// A master and nobody else.
    Isolate,
    /// Two masters do not reach each other.
    CutPair,
    /// One master does not reach another, which reaches it.
    OneWay,
    /// What two masters send each other arrives later, all at once.
    Hold,
    /// A process dies.
    Kill,
    /// A machine does.
    PowerLoss,
}

const ALL: [Fault; 6] = [Fault::Isolate, Fault::CutPair, Fault::OneWay, Fault::Hold, Fault::Kill, Fault::PowerLoss];

/// What a run came to.
struct Report {
    acknowledged: usize,
    unknown: u64,
    lists: u64,
    terms: u64,
    simulated: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, unknown, lists, terms, simulated } = self;
        write!(
            f,
            "{:.0} s simulated, {acknowledged} writes acknowledged, {unknown} outcomes unknown, {terms} terms, {lists} lists of watchers",
            simulated.as_secs_f64()
        )
    }
}

struct Run<'a> {
    sim: Sim<'a>,
    chance: Chance,
    machines: Vec<Machine>,
}

impl Run<'_> {
    fn advance(&mut self, by: Duration) -> Result<(), String> {
        let until = self.sim.elapsed() + by;
        while self.sim.elapsed() < until {
            self.sim.step().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn until(&mut self, within: Duration, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let until = self.sim.elapsed() + within;
        while !holds(self) {
            if self.sim.elapsed() >= until {
                return Err(format!("it takes longer than {within:?} until {what}"));
            }
            self.sim.step().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn all_vote(&self) -> bool {
        let Some(first) = self.machines[0].store() else { return false };
        first.members().iter().filter(|member| !member.learner).count() as u64 == MASTERS
    }

    fn term(&self) -> u64 {
        self.machines.iter().filter_map(Machine::store).map(|store| store.status().term).max().unwrap_or_default()
    }

    /// Half of the time the one who leads.
    fn victim(&self) -> Machine {
        let leads = |machine: &&Machine| machine.store().is_some_and(|store| store.status().leader == Some(machine.id));
        match self.machines.iter().find(leads).filter(|_| self.chance.one_in(2)) {
            Some(leader) => leader.clone(),
            None => self.chance.pick(&self.machines).clone(),
        }
    }

    /// Makes a fault, leaves it for a while, and undoes it.
    fn inject(&mut self, fault: Fault) -> Result<(), String> {
        let victim = self.victim();
        let others: Vec<String> = (1..=MASTERS).filter(|id| *id != victim.id).map(name).collect();
        let (this, other) = (name(victim.id), self.chance.pick(&others).clone());
        let time = self.chance.millis(1500..4000);
        match fault {
            Fault::Isolate => {
                let everybody = others.into_iter().chain(clients());
                let rest: Vec<String> = everybody.collect();
                for host in &rest {
                    self.sim.partition(this.as_str(), host.as_str());
                }
                self.advance(time)?;
                for host in &rest {
                    self.sim.repair(this.as_str(), host.as_str());
                }
            }
            Fault::CutPair => {
                self.sim.partition(this.as_str(), other.as_str());
                self.advance(time)?;
                self.sim.repair(this.as_str(), other.as_str());
            }
            Fault::OneWay => {
                self.sim.partition_oneway(this.as_str(), other.as_str());
                self.advance(time)?;
                self.sim.repair_oneway(this.as_str(), other.as_str());
            }
            Fault::Hold => {
                self.sim.hold(this.as_str(), other.as_str());
                self.advance(time)?;
                self.sim.release(this.as_str(), other.as_str());
            }
            Fault::Kill | Fault::PowerLoss => {
                self.sim.crash(this.as_str());
                victim.crashed(fault == Fault::PowerLoss);
                self.advance(time)?;
                self.sim.bounce(this.as_str());
            }
        }
        let pause = self.chance.millis(200..2500);
        self.advance(pause)
    }
}

fn clients() -> impl Iterator<Item = String> {
    let writers = (0..WRITERS).map(|id| format!("writer-{id}"));
    writers.chain((0..WATCHERS).map(|id| format!("watcher-{id}")))
}

/// The hosts of the masters, each as it is started again and again.
fn masters<'a>(sim: &mut Sim<'a>, chance: &Chance, planted: Option<Planted>) -> Vec<Machine> {
    let machines: Vec<Machine> = (1..=MASTERS).map(|id| Machine::new(id, chance, planted)).collect();
    for machine in &machines {
        let (machine, first, has_run) = (machine.clone(), machines[0].clone(), Arc::new(AtomicBool::new(false)));
        sim.host(name(machine.id), move || {
            let (machine, first, again) = (machine.clone(), first.clone(), has_run.swap(true, Ordering::Relaxed));
            async move {
                let start = match (again, machine.id == first.id) {
                    (true, _) => Start::Restart,
                    (false, true) => Start::Init,
                    (false, false) => {
                        join(first, machine.id).await;
                        Start::Join
                    }
                };
                machine.run(start).await
            }
        });
    }
    machines
}

/// Runs one seed. An error names what was violated.
fn run(seed: u64, planted: Option<Planted>) -> Result<Report, String> {
    let chance = Chance::new(seed);
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(chance.bits()).simulation_duration(LONGEST).tcp_capacity(SEGMENTS).enable_random_order();
    builder.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(6));
    let mut sim = builder.build();
    let machines = masters(&mut sim, &chance, planted);
    let mut run = Run { sim, chance, machines };
    run.until(CREATION, "all masters vote", Run::all_vote)?;

    let (seen, stop_writers, stop_watchers) = (Seen::default(), CancellationToken::new(), CancellationToken::new());
    for id in 0..WRITERS {
        run.sim.client(format!("writer-{id}"), users::write(id, seen.clone(), stop_writers.clone()));
    }
    for id in 0..WATCHERS {
        let surroundings = run.machines[0].surroundings();
        run.sim.client(format!("watcher-{id}"), users::watch(id, surroundings, seen.clone(), stop_watchers.clone()));
    }
    run.sim.client("deployer", users::deploy(PODS, stop_watchers.clone()));
    for _ in 0..FAULTS {
        let fault = *run.chance.pick(&ALL);
        run.inject(fault)?;
    }
    stop_writers.cancel();
    run.advance(Duration::from_secs(6))?;
    let terms = run.term();
    let checked = CancellationToken::new();
    let (done, looked) = (checked.clone(), seen.clone());
    run.sim.client("checker", async move {
        users::check(PODS, looked, RECOVERY).await?;
        done.cancel();
        Ok(())
    });
    run.until(RECOVERY * 2, "everything is as it should be", |_| checked.is_cancelled())?;
    stop_watchers.cancel();
    let violations = seen.violations();
    if !violations.is_empty() {
        return Err(violations.join("; "));
    }
    let (acknowledged, unknown, lists) = (seen.acknowledged.lock().len(), *seen.unknown.lock(), *seen.lists.lock());
    Ok(Report { acknowledged, unknown, lists, terms, simulated: run.sim.elapsed() })
}

#[test]
fn the_whole_stack_keeps_its_promises_over_simulated_connections() {
    let seeds: Vec<u64> = match std::env::var("KONTIKI_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=SEEDS).collect(),
    };
    let mut reports = Vec::new();
    for seed in seeds {
        let report = run(seed, None).unwrap_or_else(|what| panic!("KONTIKI_SEED={seed}: {what}"));
        eprintln!("seed {seed}: {report}");
        assert!(report.acknowledged > 1000, "seed {seed} did too little: {report}");
        reports.push(report);
    }
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|report| report.terms) > reports.len() as u64, "no leader ever followed another");
    assert!(sum(|report| report.unknown) > 0, "no fault ever cost a request its answer");
}

#[test]
fn a_watch_that_is_resumed_too_late_is_found_over_connections_too() {
    let found = (1..=SEEDS).find_map(|seed| run(seed, Some(Planted::ResumeTooLate)).err());
    let found = found.expect("a planted bug is found");
    assert!(found.contains("watcher "), "{found}");
}
