//! How long writes stood still at each fault, as a histogram and by kind of fault.

use std::{collections::BTreeMap, time::Duration};

use super::{
    chart::{Chart, WIDTH},
    quantile, shown,
};
use crate::chaos::evidence::{Evidence, Injected};

/// The upper ends of the histogram's columns, in milliseconds; the last column has none.
const ENDS: [u64; 9] = [25, 50, 100, 200, 400, 800, 1600, 3200, 6400];
const PLOT: f64 = 130.0;

/// The longest gap at each fault, or at two that were under way at once, by writer.
fn gaps(evidence: &Evidence) -> Vec<(&'static str, Vec<Duration>)> {
    let at =
        |round: &[Injected], writer| round.iter().map(|one| evidence.gap_of(one, writer)).max().unwrap_or_default();
    let of = |writer| evidence.rounds().map(|round| at(round, writer)).collect();
    evidence.writers.iter().map(|writer| (writer.name, of(writer))).collect()
}

/// The histogram: how many faults stopped writes for how long.
pub(super) fn histogram(evidence: &Evidence) -> String {
    let mut chart = Chart::new(PLOT + 58.0);
    let gaps = gaps(evidence);
    let counts: Vec<Vec<usize>> = gaps.iter().map(|(_, gaps)| count(gaps)).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let bottom = PLOT + 18.0;
    let column = (WIDTH - 60.0) / (ENDS.len() + 1) as f64;
    for at in 0..=ENDS.len() {
        let left = 40.0 + column * at as f64;
        for (number, counts) in counts.iter().enumerate() {
            let tall = PLOT * counts[at] as f64 / most as f64;
            if counts[at] == 0 {
                continue;
            }
            let (wide, colour) = (column * 0.36, if number == 0 { "var(--etcd)" } else { "var(--api)" });
            let x = left + column * 0.12 + wide * 1.08 * number as f64;
            chart.bar(
                (x, bottom - tall, wide, tall),
                colour,
                &format!("{} of {}", counts[at], counts.iter().sum::<usize>()),
            );
            chart.text((x + wide / 2.0, bottom - tall - 4.0), "middle", "", &counts[at].to_string());
        }
        chart.text((left + column / 2.0, bottom + 16.0), "middle", "soft", &label(at));
    }
    chart.line((40.0, bottom), (WIDTH - 20.0, bottom), "axis");
    chart.text(
        (WIDTH / 2.0, bottom + 34.0),
        "middle",
        "soft",
        "longest time without an acknowledged write, at one fault",
    );
    chart.svg("Histogram of write gaps")
}

fn count(gaps: &[Duration]) -> Vec<usize> {
    let mut counts = vec![0; ENDS.len() + 1];
    for gap in gaps {
        counts[ENDS.partition_point(|end| Duration::from_millis(*end) <= *gap)] += 1;
    }
    counts
}

fn label(column: usize) -> String {
    let text =
        |millis: u64| if millis < 1000 { format!("{millis} ms") } else { format!("{} s", millis as f64 / 1000.0) };
    match (column.checked_sub(1).and_then(|before| ENDS.get(before)), ENDS.get(column)) {
        (None, Some(end)) => format!("< {}", text(*end)),
        (Some(_), Some(end)) => format!("… {}", text(*end)),
        (Some(start), None) => format!("≥ {}", text(*start)),
        (None, None) => String::new(),
    }
}

/// The gaps at one kind of fault, or at two kinds at once.
pub(super) struct OfKind {
    pub(super) name: String,
    /// How often it was injected.
    pub(super) times: usize,
    /// Of each writer: the median, what 99 of 100 are within, and the worst.
    pub(super) gaps: Vec<[String; 3]>,
}

/// Each kind of fault with its gaps, by name.
pub(super) fn by_kind(evidence: &Evidence) -> Vec<OfKind> {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, round) in evidence.rounds().enumerate() {
        let mut names: Vec<&str> = round.iter().map(|one| one.planned.fault.name).collect();
        names.sort_unstable();
        kinds.entry(names.join(" + ")).or_default().push(at);
    }
    let gaps = gaps(evidence);
    let of_kind = |(name, which): (_, Vec<usize>)| {
        let of_writer = |(_, gaps): &(_, Vec<Duration>)| {
            let mut of_kind: Vec<Duration> = which.iter().map(|at| gaps[*at]).collect();
            of_kind.sort_unstable();
            [0.5, 0.99, 1.0].map(|part| shown(quantile(&of_kind, part)))
        };
        OfKind { name, times: which.len(), gaps: gaps.iter().map(of_writer).collect() }
    };
    kinds.into_iter().map(of_kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, faults::find, schedule::Planned};

    #[test]
    fn gaps_fall_into_their_columns() {
        let counts = count(&[10, 25, 399, 400, 99_999].map(Duration::from_millis));
        assert_eq!(counts, [1, 1, 0, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!((label(0), label(1), label(9)), ("< 25 ms".into(), "… 50 ms".into(), "≥ 6.4 s".into()));
    }

    #[test]
    fn each_kind_has_its_median_and_worst() {
        let kinds = by_kind(&evidence());
        assert_eq!((kinds.len(), kinds[0].name.as_str(), kinds[0].times), (1, "kill-leader", 1));
        assert_eq!(kinds[0].gaps, [["0.40 s", "0.40 s", "0.40 s"]; 2].map(|gaps| gaps.map(str::to_owned)));
        // Two at once are a kind of their own.
        let mut evidence = evidence();
        let mut second = evidence.injected[0].clone();
        second.planned = Planned { fault: find("agent-kill").unwrap(), beside: true, ..second.planned };
        evidence.injected.push(second);
        let kinds = by_kind(&evidence);
        assert_eq!((kinds.len(), kinds[0].name.as_str(), kinds[0].times), (1, "agent-kill + kill-leader", 1));
    }
}
