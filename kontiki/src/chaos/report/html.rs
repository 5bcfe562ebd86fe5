//! The page: one file without anything from elsewhere, no script.

use super::{Report, escape, gaps, shown, style, thousands, timeline, verdict};
use crate::chaos::{evidence::Injected, oracles::watches};

/// All of it.
pub(super) fn page(report: &Report<'_>) -> String {
    let title = if report.passed() { "passed" } else { "broken" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>kontiki chaos: {title}, seed {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}{}{}{}{}{}{}</main>\n</body>\n</html>\n",
        report.seed,
        style::SHEET,
        header(report),
        cards(report),
        pictures(report),
        promises(report),
        schedule(report),
        kinds(report),
        repeat(report),
    )
}

fn header(report: &Report<'_>) -> String {
    let (class, word) = if report.passed() { ("good", "All promises kept") } else { ("bad", "A promise is broken") };
    format!(
        "<header><div class=\"kicker\">kontiki chaos · {} · {} · {} s under faults · seed {}</div>\n\
         <h1><span class=\"badge {class}\">{word}</span><br>{}</h1></header>\n",
        report.began.strftime("%Y-%m-%d %H:%M:%S UTC"),
        escape(&report.cluster),
        report.evidence.length.as_secs(),
        report.seed,
        escape(&verdict::line(report)),
    )
}

fn cards(report: &Report<'_>) -> String {
    let evidence = report.evidence;
    let (acknowledged, lost) = evidence.acknowledged_and_lost();
    let wrongs = watches::wrongs(evidence);
    let bit = evidence.injected.iter().filter(|one| one.proof.is_ok()).count();
    let events: usize = evidence.heard.iter().map(|heard| heard.events.len()).sum();
    let gap = evidence.longest_gap().map(|(name, _, gap)| (name, shown(gap)));
    let (writer, gap) = gap.unwrap_or_default();
    let outage = evidence.probes.iter().flat_map(|probe| probe.outages()).map(|outage| outage.lasted).max();
    let card = |is_good: bool, number: String, text: String| {
        let class = if is_good { "" } else { " bad" };
        format!("<div class=\"card{class}\"><b>{}</b><span>{}</span></div>\n", escape(&number), escape(&text))
    };
    let mut cards = [
        card(lost == 0, thousands(lost), format!("of {} acknowledged writes lost", thousands(acknowledged))),
        card(true, gap, format!("longest write gap ({writer})")),
        card(
            wrongs.lost.is_empty() && wrongs.doubled.is_empty(),
            thousands(wrongs.lost.len() + wrongs.doubled.len()),
            format!("of {} events lost or doubled; {} watches resumed", thousands(events), evidence.resumed()),
        ),
        card(bit == evidence.injected.len(), format!("{bit} of {}", evidence.injected.len()), "faults bit".into()),
        card(true, thousands(evidence.operations.len()), "reads, writes and swaps put in one order".into()),
    ]
    .concat();
    if let Some(probe) = evidence.probes.first() {
        let text = match evidence.probes.len() {
            1 => format!("longest outage of the probe {}", probe.name),
            count => format!("longest outage of {count} probes"),
        };
        let within = outage.is_none_or(|outage| outage <= evidence.limits.outage);
        cards.push_str(&card(within, outage.map_or_else(|| "none".into(), shown), text));
    }
    format!("<div class=\"cards\">{cards}</div>\n")
}

fn pictures(report: &Report<'_>) -> String {
    format!(
        "<h2>What happened</h2>\n<p class=\"note\">Time runs to the right. A fault is there while its band is; below it, what clients saw at that moment. \
         Latency is on a logarithmic scale. Red: no write was acknowledged, or a probe or a connection to the run's own Service failed. Point at a shape for its numbers.</p>\n\
         <figure>{}</figure>\n\
         <h2>How long writes stood still</h2>\n<p class=\"note\">For each fault, or two at once, the longest time without an acknowledged write, from its injection until the cluster was whole again. \
         Writers write about every 10 ms, so that is the least.</p>\n\
         <figure><div class=\"legend\"><span><i style=\"background:var(--etcd)\"></i>through the etcd port</span>\
         <span><i style=\"background:var(--api)\"></i>through the Kubernetes API</span></div>{}</figure>\n",
        timeline::svg(report.evidence),
        gaps::histogram(report.evidence),
    )
}

fn promises(report: &Report<'_>) -> String {
    let row = |finding: &crate::chaos::oracles::Finding| {
        let (mark, detail) = match &finding.outcome {
            Ok(detail) => ("<span class=\"ok\">✓</span>", detail),
            Err(why) => ("<span class=\"no\">✗</span>", why),
        };
        let class = if finding.outcome.is_ok() { "" } else { " class=\"no\"" };
        format!("<tr><td>{mark}</td><td>{}</td><td{class}>{}</td></tr>\n", escape(finding.promise), escape(detail))
    };
    let rows: String = report.findings.iter().map(row).collect();
    format!(
        "<h2>Promises</h2>\n<div class=\"scroll\"><table><tr><th></th><th>promise</th><th>what was seen</th></tr>\n{rows}</table></div>\n"
    )
}

fn schedule(report: &Report<'_>) -> String {
    let evidence = report.evidence;
    let heads: String =
        evidence.writers.iter().map(|writer| format!("<th class=\"n\">gap, {}</th>", escape(writer.name))).collect();
    let row = |one: &Injected| {
        let gaps: String = evidence
            .writers
            .iter()
            .map(|writer| format!("<td class=\"n\">{}</td>", shown(evidence.gap_of(one, writer))))
            .collect();
        let (class, proof) = match &one.proof {
            Ok(proof) => ("", proof.clone()),
            Err(why) => (" class=\"no\"", format!("did not bite: {why}")),
        };
        let (before, after) = &one.leaders;
        let leaders = match after {
            Some(after) if after == before => before.clone(),
            after => format!("{before} → {}", after.as_deref().unwrap_or("nobody")),
        };
        let others: Vec<&str> = evidence.beside(one).map(|other| other.planned.fault.name).collect();
        let beside = if others.is_empty() { String::new() } else { format!(" beside {}", others.join(", ")) };
        let by_design = if one.planned.fault.stops_writes() { " (writes stand still by design)" } else { "" };
        format!(
            "<tr><td class=\"n\">{:.1} s</td><td class=\"w\">{}</td><td>{}</td><td class=\"n\">{}</td><td{class}>{}{by_design}</td>\
             <td class=\"w\">{}</td>{gaps}<td class=\"n\">{}</td></tr>\n",
            evidence.seconds(one.began),
            escape(&format!("{}{beside}", one.planned.fault.name)),
            escape(&one.hosts.join(", ")),
            shown(one.healed.duration_since(one.began)),
            escape(&proof),
            escape(&leaders),
            one.recovered.map_or_else(|| "never".to_owned(), |at| shown(at.saturating_duration_since(one.healed))),
        )
    };
    let rows: String = evidence.injected.iter().map(row).collect();
    format!(
        "<h2>Faults</h2>\n<div class=\"scroll\"><table><tr><th class=\"n\">at</th><th>fault</th><th>of</th><th class=\"n\">lasted</th>\
         <th>what shows that it bit</th><th>leader</th>{heads}<th class=\"n\">whole after</th></tr>\n{rows}</table></div>\n"
    )
}

fn kinds(report: &Report<'_>) -> String {
    let heads: String = report
        .evidence
        .writers
        .iter()
        .map(|writer| {
            let median = format!("<th class=\"n\">{0}: median</th>", escape(writer.name));
            format!("{median}<th class=\"n\">99 %</th><th class=\"n\">worst</th>")
        })
        .collect();
    let row = |kind: &gaps::OfKind| {
        let cells: String =
            kind.gaps.iter().flatten().map(|gap| format!("<td class=\"n\">{}</td>", escape(gap))).collect();
        format!("<tr><td>{}</td><td class=\"n\">{}</td>{cells}</tr>\n", escape(&kind.name), kind.times)
    };
    let rows: String = gaps::by_kind(report.evidence).iter().map(row).collect();
    format!(
        "<h2>Write gaps by kind of fault</h2>\n<div class=\"scroll\"><table><tr><th>fault</th><th class=\"n\">times</th>{heads}</tr>\n{rows}</table></div>\n"
    )
}

fn repeat(report: &Report<'_>) -> String {
    let limits = report.evidence.limits;
    format!(
        "<h2>The same again</h2>\n<p class=\"note\">The seed decides which fault comes when, for how long, and which host is hit among those that may be. \
         Who leads at that moment is up to the cluster.</p>\n<pre>{}</pre>\n\
         <footer>Limits of this run: a write gap of {}, an outage of a probe of {}.</footer>\n",
        escape(report.repeat),
        shown(limits.gap),
        shown(limits.outage),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, oracles};

    #[test]
    fn the_page_has_everything_in_it_and_nothing_from_elsewhere() {
        let mut evidence = evidence();
        evidence.probes[0].name = "<script>".into();
        evidence.probes[0].samples[20].failure = Some("no <answer>".into());
        let findings = oracles::judge(&evidence);
        let report = Report {
            evidence: &evidence,
            findings: &findings,
            seed: 7,
            repeat: "kontiki chaos run --seed 7",
            began: jiff::Timestamp::UNIX_EPOCH,
            cluster: "3 masters, 2 workers".into(),
        };
        let page = page(&report);
        for shown in [
            "All promises kept",
            "0 of 200 acknowledged writes lost",
            "kontiki chaos run --seed 7",
            "m2 · term 2",
            "no &lt;answer&gt;",
        ] {
            assert!(page.contains(shown), "{shown} is missing");
        }
        for foreign in ["<script", "http://", "https://", "url(", "@import", "NaN", "inf\""] {
            assert!(!page.contains(foreign), "{foreign} is there");
        }
        assert_eq!(page.matches("<svg").count(), 2);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }
}
