//! Which seeds are run, and what becomes of one that fails.
//!
//! `KONTIKI_SEED` runs one seed, `KONTIKI_SEEDS` so many, `KONTIKI_HOURS` as many as there is time for, from a fresh one on.
//! `KONTIKI_LOG` is what the members' logs show, as `RUST_LOG` elsewhere, with simulated time: `KONTIKI_LOG=store=debug`.

use std::{
    fmt,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::world::Planted;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::{
    evidence::Totals,
    run::{run, schedule_of},
    table,
};

/// Seeds of a test run.
const SEEDS: u64 = 1000;
/// Runs spent on making a failure smaller.
const SHRINKING_RUNS: usize = 60;
/// A planted bug is found within so many seeds.
const SEEDS_PER_BUG: u64 = 100;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The time that has passed in a simulation.
struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        thread_local!(static BEGAN: tokio::time::Instant = tokio::time::Instant::now());
        write!(out, "{:9.3}", BEGAN.with(tokio::time::Instant::elapsed).as_secs_f64())
    }
}

fn show_logs() {
    let Ok(filter) = std::env::var("KONTIKI_LOG") else { return };
    let shown =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_timer(Simulated).with_ansi(false);
    // Another test of the same run may have done it.
    drop(shown.with_writer(std::io::stderr).try_init());
}

/// Which seeds are to be run.
pub(crate) struct Choice {
    first: u64,
    count: u64,
    deadline: Option<Instant>,
}

impl Choice {
    pub(crate) fn of_the_environment(usual: u64) -> Self {
        show_logs();
        let deadline = setting("KONTIKI_HOURS").map(|hours| Instant::now() + Duration::from_secs(hours * 3600));
        let (first, count) = match (setting("KONTIKI_SEED"), setting("KONTIKI_SEEDS"), deadline) {
            (Some(seed), count, _) => (seed, count.unwrap_or(1)),
            (None, _, Some(_)) => (rand::random::<u32>().into(), u64::MAX / 2),
            (None, count, None) => (1, count.unwrap_or(usual)),
        };
        Self { first, count, deadline }
    }

    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + Send + use<> {
        let deadline = self.deadline;
        let seeds = self.first..self.first + self.count;
        seeds.take_while(move |_| deadline.is_none_or(|deadline| Instant::now() < deadline))
    }

    pub(crate) fn is_at_least(&self, count: u64) -> bool {
        self.count >= count
    }
}

/// Runs seeds on all cores until there are no more, or one fails.
fn run_all<R: Send>(
    seeds: impl Iterator<Item = u64> + Send,
    run: impl Fn(u64) -> Result<R, String> + Sync,
) -> (Vec<R>, Option<(u64, String)>) {
    let seeds = Mutex::new(seeds);
    let (reports, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while failure.lock().is_none() {
                    let Some(seed) = seeds.lock().next() else { return };
                    match run(seed) {
                        Ok(report) => reports.lock().push(report),
                        Err(what) => {
                            failure.lock().get_or_insert((seed, what));
                        }
                    }
                }
            });
        }
    });
    (reports.into_inner(), failure.into_inner())
}

/// Leaves faults out as long as the run still fails.
fn shrink<S: Clone>(mut schedule: Vec<S>, fails: impl Fn(Vec<S>) -> bool) -> Vec<S> {
    let (mut runs, mut part) = (0, schedule.len().div_ceil(2));
    while part > 0 {
        let mut at = 0;
        while at < schedule.len() && runs < SHRINKING_RUNS {
            let mut smaller = schedule.clone();
            smaller.drain(at..(at + part).min(schedule.len()));
            runs += 1;
            if fails(smaller.clone()) {
                schedule = smaller;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    schedule
}

/// Runs the seeds that were chosen. A failure is made smaller, and told with the command that repeats it.
pub(crate) fn survey<S: Clone + fmt::Debug, R: Send>(
    choice: &Choice,
    test: &str,
    schedule_of: impl Fn(u64) -> Vec<S> + Sync,
    run: impl Fn(u64, Vec<S>) -> Result<R, String> + Sync,
) -> Vec<R> {
    let (reports, failure) = run_all(choice.seeds(), |seed| run(seed, schedule_of(seed)));
    let Some((seed, what)) = failure else { return reports };
    eprintln!("seed {seed}: {what}\nlooking for fewer faults that are enough");
    let schedule = shrink(schedule_of(seed), |schedule| run(seed, schedule).is_err());
    panic!(
        "seed {seed}: {what}\nrepeat it with: KONTIKI_SEED={seed} cargo test --workspace --test simulation {test}\n\
         these faults are enough: {schedule:#?}"
    );
}

/// Each seed, run twice, leaves the same prints.
pub(crate) fn assert_repeatable(seeds: Range<u64>, fingerprint: impl Fn(u64) -> Result<u64, String>) {
    for seed in seeds {
        assert_eq!(fingerprint(seed), fingerprint(seed), "seed {seed}");
    }
}

/// Each bug, planted, is noticed by one of the first seeds. Which one noticed is kept in a table of this name.
pub(crate) fn assert_found<B: Copy + fmt::Debug + Sync, R: Send>(
    name: &str,
    bugs: &[B],
    run: impl Fn(u64, B) -> Result<R, String> + Sync,
) {
    let (mut missed, mut found) = (Vec::new(), Vec::new());
    for bug in bugs {
        match run_all(1..=SEEDS_PER_BUG, |seed| run(seed, *bug)).1 {
            Some((seed, how)) => {
                let how: String = how.chars().take(200).collect();
                eprintln!("{bug:?}: seed {seed}: {how}");
                // What is violated stands before the colon.
                let promise = how.split(':').next().unwrap_or_default();
                found.push((table::words(&format!("{bug:?}")), format!("{seed}: {promise}")));
            }
            None => missed.push(*bug),
        }
    }
    table::keep(name, ["planted bug", "found by seed, for this was broken"], found);
    assert!(missed.is_empty(), "no invariant noticed {missed:?} in {SEEDS_PER_BUG} seeds");
}

#[test]
fn the_store_keeps_its_promises_under_every_seed() {
    let choice = Choice::of_the_environment(SEEDS);
    let started = Instant::now();
    let reports = survey(&choice, "store_keeps", schedule_of, |seed, schedule| run(seed, schedule, None));
    let mut totals = Totals::default();
    reports.iter().for_each(|report| totals.add(report));
    eprintln!("{totals} in {:.0} s", started.elapsed().as_secs_f64());
    totals.keep(started.elapsed());
    if choice.is_at_least(SEEDS) {
        totals.assert_everything_happened();
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_repeatable(1..4, |seed| run(seed, schedule_of(seed), None).map(|report| report.fingerprint));
}

#[test]
fn every_planted_bug_is_found() {
    assert_found("store-planted", Planted::ALL, |seed, bug| run(seed, schedule_of(seed), Some(bug)));
}
