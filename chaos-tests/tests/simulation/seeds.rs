//! Which seeds are run, and what becomes of one that fails.
//!
//! `KONTIKI_SEED` runs one seed, `KONTIKI_SEEDS` so many, `KONTIKI_HOURS` as many as there is time for, from a fresh one on.

use std::{
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::world::Planted;

use crate::{
    evidence::Totals,
    faults::Schedule,
    run::{Report, run, schedule_of},
};

/// Seeds of a test run.
const SEEDS: u64 = 100;
/// Runs spent on making a failure smaller.
const SHRINKING_RUNS: usize = 60;
/// A planted bug is found within so many seeds.
const SEEDS_PER_BUG: u64 = 40;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs seeds on all cores until there are no more, or one fails.
fn run_all(
    seeds: impl Iterator<Item = u64> + Send,
    run: impl Fn(u64) -> Result<Report, String> + Sync,
) -> (Totals, Option<(u64, String)>) {
    let seeds = Mutex::new(seeds);
    let (totals, failure) = (Mutex::new(Totals::default()), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while failure.lock().is_none() {
                    let Some(seed) = seeds.lock().next() else { return };
                    match run(seed) {
                        Ok(report) => totals.lock().add(&report),
                        Err(what) => {
                            failure.lock().get_or_insert((seed, what));
                        }
                    }
                }
            });
        }
    });
    (totals.into_inner(), failure.into_inner())
}

/// Leaves faults out as long as the run still fails.
fn shrink(seed: u64, planted: Option<Planted>) -> Schedule {
    let mut schedule = schedule_of(seed);
    let (mut runs, mut part) = (0, schedule.len().div_ceil(2));
    while part > 0 {
        let mut at = 0;
        while at < schedule.len() && runs < SHRINKING_RUNS {
            let mut smaller = schedule.clone();
            smaller.drain(at..(at + part).min(schedule.len()));
            runs += 1;
            if run(seed, smaller.clone(), planted).is_err() {
                schedule = smaller;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    schedule
}

#[test]
fn the_store_keeps_its_promises_under_every_seed() {
    let deadline = setting("KONTIKI_HOURS").map(|hours| Instant::now() + Duration::from_secs(hours * 3600));
    let (first, count) = match (setting("KONTIKI_SEED"), setting("KONTIKI_SEEDS"), deadline) {
        (Some(seed), count, _) => (seed, count.unwrap_or(1)),
        (None, _, Some(_)) => (rand::random::<u32>().into(), u64::MAX / 2),
        (None, count, None) => (1, count.unwrap_or(SEEDS)),
    };
    let started = Instant::now();
    let seeds = (first..first + count).take_while(|_| deadline.is_none_or(|deadline| Instant::now() < deadline));
    let (totals, failure) = run_all(seeds, |seed| run(seed, schedule_of(seed), None));
    if let Some((seed, what)) = failure {
        let schedule = shrink(seed, None);
        panic!(
            "seed {seed}: {what}\nrepeat it with: KONTIKI_SEED={seed} cargo test --workspace --test simulation every_seed\n\
             these faults are enough: {schedule:#?}"
        );
    }
    eprintln!("{totals} in {:.0} s", started.elapsed().as_secs_f64());
    if count >= SEEDS {
        totals.assert_everything_happened();
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..4 {
        let prints = [(); 2].map(|()| run(seed, schedule_of(seed), None).map(|report| report.fingerprint));
        assert_eq!(prints[0], prints[1], "seed {seed}");
    }
}

/// Whether a bug is found, by which seed, and how.
fn hunt(bug: Planted) -> Option<(u64, String)> {
    let (_, failure) = run_all(1..=SEEDS_PER_BUG, |seed| run(seed, schedule_of(seed), Some(bug)));
    failure
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        match hunt(*bug) {
            Some((seed, how)) => {
                let how: String = how.chars().take(200).collect();
                eprintln!("{bug:?}: seed {seed}: {how}");
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "no invariant noticed {missed:?} in {SEEDS_PER_BUG} seeds");
}
