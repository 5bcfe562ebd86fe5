//! Seeds of the control plane: run, repeated, and with bugs planted.

use std::time::Instant;

use api::surroundings::Planted;

use super::{evidence::Totals, run, schedule_of};
use crate::seeds::{Choice, run_all, shrink};

/// Seeds of a test run.
const SEEDS: u64 = 72;
/// A planted bug is found within so many seeds.
const SEEDS_PER_BUG: u64 = 40;

#[test]
fn the_control_plane_keeps_its_promises_under_every_seed() {
    let choice = Choice::of_the_environment(SEEDS);
    let started = Instant::now();
    let (reports, failure) = run_all(choice.seeds(), |seed| run(seed, schedule_of(seed), None));
    if let Some((seed, what)) = failure {
        eprintln!("seed {seed}: {what}\nlooking for fewer faults that are enough");
        let schedule = shrink(schedule_of(seed), |schedule| run(seed, schedule, None).is_err());
        panic!(
            "seed {seed}: {what}\nrepeat it with: KONTIKI_SEED={seed} cargo test --workspace --test simulation \
             control_plane_keeps\nthese troubles are enough: {schedule:#?}"
        );
    }
    let mut totals = Totals::default();
    reports.iter().for_each(|report| totals.add(report));
    eprintln!("{totals} in {:.0} s", started.elapsed().as_secs_f64());
    if choice.is_at_least(SEEDS) {
        totals.assert_everything_happened();
    }
}

#[test]
fn the_same_seed_is_the_same_run_of_the_control_plane() {
    for seed in 1..3 {
        let prints = [(); 2].map(|()| run(seed, schedule_of(seed), None).map(|report| report.fingerprint));
        assert_eq!(prints[0], prints[1], "seed {seed}");
    }
}

#[test]
fn without_trouble_everything_is_as_it_should_be() {
    let report = run(7, Vec::new(), None).expect("no invariant is violated");
    assert!(report.unknown == 0 && report.pods > 0, "{report:?}");
}

#[test]
fn every_bug_planted_in_the_control_plane_is_found() {
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        let (_, failure) = run_all(1..=SEEDS_PER_BUG, |seed| run(seed, schedule_of(seed), Some(*bug)));
        match failure {
            Some((seed, how)) => {
                let how: String = how.chars().take(200).collect();
                eprintln!("{bug:?}: seed {seed}: {how}");
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "no invariant noticed {missed:?} in {SEEDS_PER_BUG} seeds");
}
