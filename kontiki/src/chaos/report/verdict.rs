//! The verdict in a line, after a line for each broken promise.

use super::{Report, shown, thousands};
use crate::chaos::oracles::{faults_bit, watches};

/// What the terminal shows in the end.
pub(super) fn lines(report: &Report<'_>) -> Vec<String> {
    let broken = report.findings.iter().filter_map(|finding| {
        let why = finding.outcome.as_ref().err()?;
        Some(format!("BROKEN: {}: {why}", finding.promise))
    });
    let mut lines: Vec<String> = broken.collect();
    for probe in &report.evidence.probes {
        let outages = probe.outages();
        let longest = outages.iter().map(|outage| outage.lasted).max().unwrap_or_default();
        lines.push(match outages.len() {
            0 => format!("probe {}: {} looks, no outage", probe.name, thousands(probe.samples.len())),
            1 => format!("probe {}: 1 outage of {}", probe.name, shown(longest)),
            count => format!("probe {}: {count} outages, the longest {}", probe.name, shown(longest)),
        });
    }
    lines.push(line(report));
    lines
}

/// The verdict line.
pub(super) fn line(report: &Report<'_>) -> String {
    let evidence = report.evidence;
    let (acknowledged, lost) = evidence.acknowledged_and_lost();
    let gap = evidence.longest_gap().map_or(0.0, |(_, _, gap)| gap.as_secs_f64());
    let wrongs = watches::wrongs(evidence);
    let doubled = match wrongs.doubled.len() {
        0 => String::new(),
        count => format!(", {} doubled", thousands(count)),
    };
    let blunt = evidence.injected.iter().filter(|one| one.proof.is_err()).count();
    let pairs = match faults_bit::overlaps(evidence) {
        0 => String::new(),
        pairs => format!(" ({pairs} times two at once)"),
    };
    let bit = match blunt {
        0 => "all bit".to_owned(),
        _ => format!("{blunt} did not bite"),
    };
    let bit = format!("{} faults{pairs}, {bit}", evidence.injected.len());
    format!(
        "{} of {} acknowledged writes lost; longest write gap {gap:.2} s; {} watches resumed, {} events lost{doubled}; {bit}",
        thousands(lost),
        thousands(acknowledged),
        thousands(evidence.resumed()),
        thousands(wrongs.lost.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{
        evidence::{Evidence, sample::evidence},
        oracles::{self, Finding},
    };

    fn report(evidence: &Evidence, findings: &[Finding]) -> (bool, Vec<String>) {
        let began = jiff::Timestamp::UNIX_EPOCH;
        let report = Report { evidence, findings, seed: 7, repeat: "", began, cluster: String::new() };
        (report.passed(), report.lines())
    }

    #[test]
    fn the_verdict_is_one_line_and_names_what_is_broken() {
        let mut evidence = evidence();
        let findings = oracles::judge(&evidence);
        let (passed, lines) = report(&evidence, &findings);
        assert!(passed);
        assert_eq!(
            lines,
            [
                "probe web: 50 looks, no outage",
                "0 of 200 acknowledged writes lost; longest write gap 0.50 s; 2 watches resumed, 0 events lost; 1 faults, all bit"
            ]
        );
        evidence.writers[0].found.remove("write-00000003");
        evidence.heard[0].events.pop();
        let findings = oracles::judge(&evidence);
        let (passed, lines) = report(&evidence, &findings);
        assert!(!passed && lines[0].starts_with("BROKEN: no acknowledged write is lost: write-00000003"), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("1 of 200 acknowledged writes lost;"), "{lines:?}");
        assert!(lines.last().unwrap().contains("1 events lost"), "{lines:?}");
    }
}
