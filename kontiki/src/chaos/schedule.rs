//! What is injected when: drawn from a seed before the run begins, so that the same seed is the same schedule.
//!
//! Faults come one after the other, with quiet before each. They are dealt like cards: each is drawn once before any is
//! drawn again. Which host is hit is decided when the time comes (only then is it known who leads), by a number drawn here.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{Usage, faults::Fault};

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When, counted from the beginning of the run; never earlier, later when healing takes its time.
    pub(crate) at: Duration,
    pub(crate) fault: &'static Fault,
    /// How long it is left to work.
    pub(crate) lasts: Duration,
    /// Decides which host is hit among those that may be.
    pub(crate) pick: u64,
}

/// The schedule of a run. `quiet` is the longest pause before a fault.
pub(crate) fn draw(
    seed: u64,
    faults: &[&'static Fault],
    length: Duration,
    quiet: Duration,
) -> Result<Vec<Planned>, Usage> {
    let needed: Duration = faults.iter().map(|fault| fault.lasts + quiet).sum();
    if needed > length {
        let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
        return Err(Usage(format!(
            "--for {}s is too short for {}: once each takes {}s; use --for {}s or more, or name fewer faults",
            length.as_secs(),
            names.join(","),
            needed.as_secs_f64(),
            needed.as_secs_f64().ceil(),
        )));
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    let mut deck: Vec<&'static Fault> = Vec::new();
    let mut at = Duration::ZERO;
    while let Some(fault) = next(&mut deck, faults, &mut random) {
        let part = |whole: Duration, random: &mut StdRng| whole.mul_f64(random.random_range(0.6..1.0));
        at += part(quiet, &mut random);
        // The first round fits by the check above, as nothing takes longer than its full length.
        if at + fault.lasts > length {
            break;
        }
        let lasts = part(fault.lasts, &mut random);
        planned.push(Planned { at, fault, lasts, pick: random.random() });
        at += lasts;
    }
    Ok(planned)
}

fn next(deck: &mut Vec<&'static Fault>, faults: &[&'static Fault], random: &mut StdRng) -> Option<&'static Fault> {
    if deck.is_empty() {
        deck.extend(faults);
        deck.shuffle(random);
    }
    deck.pop()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::chaos::faults::find;

    const MINUTE: Duration = Duration::from_secs(60);
    const QUIET: Duration = Duration::from_secs(2);

    fn faults(names: &[&str]) -> Vec<&'static Fault> {
        names.iter().map(|name| find(name).unwrap()).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let faults = faults(&["kill-leader", "pause", "flap"]);
        let draw = |seed| draw(seed, &faults, MINUTE, QUIET).unwrap();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn every_fault_comes_at_least_once_and_none_overlaps_another() {
        let faults = faults(&["kill-leader", "kill-all", "pause", "partition", "flap", "agent-kill"]);
        let least: Duration = faults.iter().map(|fault| fault.lasts + QUIET).sum();
        for seed in 0..200 {
            for length in [least, MINUTE] {
                let schedule = draw(seed, &faults, length, QUIET).unwrap();
                let named: BTreeSet<&str> = schedule.iter().map(|one| one.fault.name).collect();
                assert_eq!(named.len(), faults.len(), "seed {seed}");
                assert!(schedule.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at), "seed {seed}");
                assert!(schedule.iter().all(|one| one.at + one.lasts <= length), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_run_that_is_too_short_is_refused_with_the_length_that_would_do() {
        let refused = draw(1, &faults(&["kill-leader", "pause"]), Duration::from_secs(1), QUIET).unwrap_err();
        assert!(refused.to_string().contains("--for 1s is too short for kill-leader,pause"), "{refused}");
        assert!(refused.to_string().contains("use --for "), "{refused}");
    }
}
