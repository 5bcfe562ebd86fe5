//! No writer waits for longer than allowed, and no probe fails for longer than allowed, nor in the end.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let mut broken = Vec::new();
    for writer in &evidence.writers {
        let (from, gap) = writer.history.longest_gap(evidence.epoch, evidence.end());
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
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_gap_beyond_the_limit_is_shown_with_its_writer() {
        let mut evidence = evidence();
        evidence.limits.gap = Duration::from_millis(300);
        assert!(check(&evidence).unwrap_err().contains("no write through the etcd port"));
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
