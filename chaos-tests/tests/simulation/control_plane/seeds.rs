//! Seeds of the control plane: run, repeated, and with bugs planted.

use std::time::Instant;

use api::surroundings::Planted;

use super::{evidence::Totals, run, schedule_of};
use crate::seeds::{Choice, assert_found, assert_repeatable, survey};

/// Seeds of a test run.
const SEEDS: u64 = 100;

#[test]
fn the_control_plane_keeps_its_promises_under_every_seed() {
    let choice = Choice::of_the_environment(SEEDS);
    let started = Instant::now();
    let reports = survey(&choice, "control_plane_keeps", schedule_of, |seed, schedule| run(seed, schedule, None));
    let mut totals = Totals::default();
    reports.iter().for_each(|report| totals.add(report));
    eprintln!("{totals} in {:.0} s", started.elapsed().as_secs_f64());
    totals.keep(started.elapsed());
    if choice.is_at_least(SEEDS) {
        totals.assert_everything_happened();
    }
}

#[test]
fn the_same_seed_is_the_same_run_of_the_control_plane() {
    assert_repeatable(1..3, |seed| run(seed, schedule_of(seed), None).map(|report| report.fingerprint));
}

#[test]
fn without_trouble_everything_is_as_it_should_be() {
    let report = run(7, Vec::new(), None).expect("no invariant is violated");
    assert!(report.unknown == 0 && report.pods > 0, "{report:?}");
}

#[test]
fn every_bug_planted_in_the_control_plane_is_found() {
    assert_found("control-plane-planted", Planted::ALL, |seed, bug| run(seed, schedule_of(seed), Some(bug)));
}
