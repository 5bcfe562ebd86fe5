//! The JUnit file: one test case for each promise, and one for each probe.

use super::{Report, escape, shown, verdict};
use crate::chaos::evidence::Injected;

/// The file's text.
pub(super) fn file(report: &Report<'_>) -> String {
    let mut cases = String::new();
    for finding in report.findings {
        case(&mut cases, "promises", finding.promise, finding.outcome.as_ref().err());
    }
    for injected in &report.evidence.injected {
        let at = report.evidence.seconds(injected.began);
        let of = |one: &Injected| format!("{} of {}", one.planned.fault.name, one.hosts.join(", "));
        let others: Vec<String> = report.evidence.beside(injected).map(of).collect();
        let beside = if others.is_empty() { String::new() } else { format!(" beside {}", others.join(" and ")) };
        let name = format!("{} at {at:.1} s{beside}", of(injected));
        case(&mut cases, "faults", &name, injected.proof.as_ref().err());
    }
    let limit = report.evidence.limits.outage;
    for probe in &report.evidence.probes {
        let longest = probe.outages().into_iter().max_by_key(|outage| outage.lasted);
        let why = longest.filter(|outage| outage.lasted > limit);
        let why = why.map(|outage| format!("it failed for {}: {}", shown(outage.lasted), outage.reason));
        case(&mut cases, "probes", &probe.name, why.as_ref());
    }
    let failures = cases.matches("<failure").count();
    let tests = cases.matches("<testcase").count();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n\
         <testsuite name=\"kontiki chaos\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{:.3}\" timestamp=\"{}\">\n\
         <properties><property name=\"seed\" value=\"{}\"/><property name=\"repeat\" value=\"{}\"/></properties>\n\
         {cases}<system-out>{}</system-out>\n\
         </testsuite>\n</testsuites>\n",
        report.evidence.length.as_secs_f64(),
        report.began.strftime("%Y-%m-%dT%H:%M:%S"),
        report.seed,
        escape(report.repeat),
        escape(&verdict::line(report)),
    )
}

fn case(cases: &mut String, class: &str, name: &str, why: Option<&String>) {
    let (class, name) = (escape(class), escape(name));
    let failure = why.map(|why| format!("<failure message=\"{0}\">{0}</failure>", escape(why))).unwrap_or_default();
    cases.push_str(&format!("<testcase classname=\"{class}\" name=\"{name}\">{failure}</testcase>\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{
        evidence::{Evidence, sample::evidence},
        oracles::{self, Finding},
    };

    fn report<'a>(evidence: &'a Evidence, findings: &'a [Finding]) -> Report<'a> {
        Report {
            evidence,
            findings,
            seed: 7,
            repeat: "kontiki chaos run --seed 7",
            began: jiff::Timestamp::UNIX_EPOCH,
            cluster: String::new(),
        }
    }

    #[test]
    fn of_two_at_once_each_names_the_other() {
        let mut evidence = evidence();
        let mut second = evidence.injected[0].clone();
        second.hosts = vec!["m2".into()];
        evidence.injected.push(second);
        let findings = oracles::judge(&evidence);
        let file = file(&report(&evidence, &findings));
        assert!(file.contains("name=\"kill-leader of m1 at 3.0 s beside kill-leader of m2\""), "{file}");
    }

    #[test]
    fn every_promise_fault_and_probe_is_a_case_and_failures_are_counted() {
        let mut evidence = evidence();
        evidence.injected[0].proof = Err("0 <packets> dropped".into());
        let findings = oracles::judge(&evidence);
        let file = file(&report(&evidence, &findings));
        assert!(file.contains(&format!("tests=\"{}\" failures=\"2\"", findings.len() + 2)), "{file}");
        assert!(file.contains("value=\"kontiki chaos run --seed 7\""));
        assert!(file.contains("0 &lt;packets&gt; dropped"));
        assert!(file.contains("name=\"kill-leader of m1 at 3.0 s\"") && file.contains("name=\"web\""));
    }
}
