//! No writer waits for longer than allowed, and no probe fails for longer than allowed, nor in the end.
//!
//! While too many masters are hit for a majority nothing is promised: that time does not count for writers.

use super::{Evidence, some};
use crate::chaos::evidence::inside;

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let mut broken = Vec::new();
    let excused = evidence.without_majority();
    for writer in &evidence.writers {
        let gaps = writer.history.gaps(evidence.epoch, evidence.end()).into_iter();
        let counted = gaps.map(|(from, gap)| (from, gap.saturating_sub(inside((from, from + gap), &excused))));
        let Some((from, gap)) = counted.max_by_key(|(_, gap)| *gap) else { continue };
        if gap > evidence.limits.gap {
            let from = evidence.seconds(from);
            let (gap, limit) = (gap.as_secs_f64(), evidence.limits.gap.as_secs_f64());
            broken.push(format!(
                "no write through the {} for {gap:.2} s from {from:.1} s on (limit {limit} s)",
                writer.name
            ));
        }
    }
    for probe in &evidence.probes {
        for outage in probe.outages() {
            let to_the_end =
                probe.samples.last().is_none_or(|last| last.failure.is_some() && last.began >= outage.from)
                    && outage.from + outage.lasted >= probe.samples.last().map_or(outage.from, |last| last.began);
            if outage.lasted > evidence.limits.outage || to_the_end {
                let how_long = if to_the_end { "until the end" } else { "for too long" };
                broken.push(format!(
                    "the probe {} failed {how_long}: {:.2} s from {:.1} s on ({})",
                    probe.name,
                    outage.lasted.as_secs_f64(),
                    evidence.seconds(outage.from),
                    outage.reason
                ));
            }
        }
        if probe.samples.is_empty() {
            broken.push(format!("the probe {} never looked", probe.name));
        }
    }
    if !broken.is_empty() {
        return Err(some(&broken));
    }
    let gap = evidence.longest_gap().map_or(0.0, |(_, _, gap)| gap.as_secs_f64());
    Ok(format!("longest write gap {gap:.2} s; {} probes", evidence.probes.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chaos::{evidence::sample::evidence, faults::find};

    #[test]
    fn a_gap_beyond_the_limit_is_shown_with_its_writer() {
        let mut evidence = evidence();
        evidence.limits.gap = Duration::from_millis(300);
        assert!(check(&evidence).unwrap_err().contains("no write through the etcd port"));
    }

    #[test]
    fn the_time_without_a_majority_does_not_count() {
        let mut evidence = evidence();
        evidence.limits.gap = Duration::from_millis(300);
        evidence.injected[0].planned.fault = find("kill-all").unwrap();
        evidence.injected[0].hosts = ["m1", "m2", "m3"].map(str::to_owned).to_vec();
        check(&evidence).unwrap();
        // Of one master that is gone, it does.
        evidence.injected[0].hosts.truncate(1);
        assert!(check(&evidence).is_err());
    }

    #[test]
    fn a_probe_may_fail_for_a_moment_but_not_for_long_and_not_in_the_end() {
        let mut evidence = evidence();
        let fail = |evidence: &mut Evidence, range: std::ops::Range<usize>| {
            for sample in &mut evidence.probes[0].samples[range] {
                sample.failure = Some("down".into());
            }
        };
        fail(&mut evidence, 10..20);
        check(&evidence).unwrap();
        evidence.limits.outage = Duration::from_secs(1);
        assert!(
            check(&evidence).unwrap_err().contains("the probe web failed for too long: 2.00 s from 2.0 s on (down)")
        );
        evidence.limits.outage = Duration::from_secs(10);
        fail(&mut evidence, 49..50);
        assert!(check(&evidence).unwrap_err().contains("the probe web failed until the end"));
    }
}
