//! What is injected when: drawn from a seed before the run begins, so that the same seed is the same schedule.
//!
//! Faults come one after the other, or two at once, with quiet before each. They are dealt like cards: each is drawn once before
//! any is drawn again. Which host is hit is decided when the time comes (only then is it known who leads), by a number drawn here.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{Usage, faults::Fault};

/// The second of two faults begins when about this part of the first has passed.
const BESIDE: std::ops::Range<f64> = 0.15..0.5;

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
    /// It begins while the one before is under way.
    pub(crate) beside: bool,
}

/// Faults that are under way at once: one, or two in the order in which they begin.
type Round = Vec<&'static Fault>;

/// How long a round takes at most.
fn longest(round: &[&'static Fault]) -> Duration {
    match round {
        [first, second] => first.lasts.max(first.lasts.mul_f64(BESIDE.end) + second.lasts),
        _ => round.iter().map(|fault| fault.lasts).sum(),
    }
}

/// The schedule of a run. `quiet` is the longest pause before a fault; `pair` puts two faults in the order in which they may
/// overlap, where they may.
pub(crate) fn draw(
    seed: u64,
    faults: &[&'static Fault],
    length: Duration,
    quiet: Duration,
    pair: impl Fn(&'static Fault, &'static Fault) -> Option<[&'static Fault; 2]>,
) -> Result<Vec<Planned>, Usage> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut deck = deal(faults, &pair, &mut random);
    let needed: Duration = deck.iter().map(|round| longest(round) + quiet).sum();
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
    let part = |whole: Duration, random: &mut StdRng| whole.mul_f64(random.random_range(0.6..1.0));
    let mut planned: Vec<Planned> = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        if deck.is_empty() {
            deck = deal(faults, &pair, &mut random);
        }
        let Some(round) = deck.pop() else { break };
        at += part(quiet, &mut random);
        // The first round of each fits by the check above, as nothing takes longer than its full length.
        if at + longest(&round) > length {
            break;
        }
        let (mut begins, mut ends) = (at, at);
        for (number, fault) in round.into_iter().enumerate() {
            if number > 0 {
                begins += ends.saturating_sub(begins).mul_f64(random.random_range(BESIDE));
            }
            let lasts = part(fault.lasts, &mut random);
            planned.push(Planned { at: begins, fault, lasts, pick: random.random(), beside: number > 0 });
            ends = ends.max(begins + lasts);
        }
        at = ends;
    }
    Ok(planned)
}

/// Each fault at least once, in pairs as far as they go; one that finds none that is left takes one for the second time.
fn deal(
    faults: &[&'static Fault],
    pair: impl Fn(&'static Fault, &'static Fault) -> Option<[&'static Fault; 2]>,
    random: &mut StdRng,
) -> Vec<Round> {
    let mut left: Vec<&'static Fault> = faults.to_vec();
    left.shuffle(random);
    let mut others = left.clone();
    others.shuffle(random);
    let mut rounds = Vec::new();
    while let Some(fault) = left.pop() {
        let partner = left.iter().chain(&others).find_map(|other| pair(fault, other));
        match partner {
            Some(both) => {
                left.retain(|other| !both.contains(other));
                rounds.push(both.to_vec());
            }
            None => rounds.push(vec![fault]),
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::chaos::{
        faults::find,
        together::{Size, may_overlap, pair},
    };

    fn alone(_: &'static Fault, _: &'static Fault) -> Option<[&'static Fault; 2]> {
        None
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const QUIET: Duration = Duration::from_secs(2);

    fn faults(names: &[&str]) -> Vec<&'static Fault> {
        names.iter().map(|name| find(name).unwrap()).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let faults = faults(&["kill-leader", "pause", "flap"]);
        let draw = |seed| draw(seed, &faults, MINUTE, QUIET, alone).unwrap();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn every_fault_comes_at_least_once_and_none_overlaps_another() {
        let faults = faults(&["kill-leader", "kill-all", "pause", "partition", "flap", "agent-kill"]);
        let least: Duration = faults.iter().map(|fault| fault.lasts + QUIET).sum();
        for seed in 0..200 {
            for length in [least, MINUTE] {
                let schedule = draw(seed, &faults, length, QUIET, alone).unwrap();
                let named: BTreeSet<&str> = schedule.iter().map(|one| one.fault.name).collect();
                assert_eq!(named.len(), faults.len(), "seed {seed}");
                assert!(schedule.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at), "seed {seed}");
                assert!(schedule.iter().all(|one| one.at + one.lasts <= length && !one.beside), "seed {seed}");
            }
        }
    }

    #[test]
    fn two_at_once_begin_one_in_the_other_and_every_fault_still_comes() {
        let faults: Vec<&'static Fault> = crate::chaos::faults::ALL.iter().collect();
        let size = Size { masters: 3, workers: 2 };
        for seed in 0..200 {
            let schedule = draw(seed, &faults, MINUTE * 10, QUIET, |a, b| pair(a, b, size)).unwrap();
            let named: BTreeSet<&str> = schedule.iter().map(|one| one.fault.name).collect();
            assert_eq!(named.len(), faults.len(), "seed {seed}");
            let rounds: Vec<&[Planned]> = schedule.chunk_by(|_, next| next.beside).collect();
            for round in &rounds {
                if let [first, second] = round {
                    assert!(may_overlap(first.fault, second.fault, size), "seed {seed}: {round:?}");
                    assert!(first.at < second.at && second.at < first.at + first.lasts, "seed {seed}: {round:?}");
                }
                assert!(round.len() == 2 || round[0].fault.name == "rolling-upgrade", "seed {seed}: {round:?}");
            }
            let end = |round: &[Planned]| round.iter().map(|one| one.at + one.lasts).max().unwrap();
            assert!(rounds.windows(2).all(|pair| end(pair[0]) < pair[1][0].at), "seed {seed}");
        }
    }

    #[test]
    fn a_run_that_is_too_short_is_refused_with_the_length_that_would_do() {
        let refused = draw(1, &faults(&["kill-leader", "pause"]), Duration::from_secs(1), QUIET, alone).unwrap_err();
        assert!(refused.to_string().contains("--for 1s is too short for kill-leader,pause"), "{refused}");
        assert!(refused.to_string().contains("use --for "), "{refused}");
    }
}
