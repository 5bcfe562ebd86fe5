//! The summary in Markdown, as CI systems show it beside a run.

use super::{Report, gaps, verdict};

/// The file's text.
pub(super) fn page(report: &Report<'_>) -> String {
    let mark = if report.passed() { "All promises kept" } else { "Broken" };
    let mut page = format!("**{mark}.** {}\n\n{}, seed {}.\n\n", verdict::line(report), report.cluster, report.seed);
    page.push_str("| promise | |\n|---|---|\n");
    for finding in report.findings {
        let outcome = match &finding.outcome {
            Ok(how) => how.clone(),
            Err(why) => format!("**BROKEN**: {why}"),
        };
        page.push_str(&row([finding.promise.to_owned(), outcome]));
    }
    let writers = report.evidence.writers.iter();
    let heads: Vec<String> =
        writers.map(|writer| format!("gap through the {}: median, 99 %, worst", writer.name)).collect();
    let heads = [vec!["fault".to_owned(), "times".to_owned()], heads].concat();
    page.push_str(&format!("\n{}{}", row(heads.iter().cloned()), row(heads.iter().map(|_| "---".to_owned()))));
    for kind in gaps::by_kind(report.evidence) {
        let cells = [kind.name, kind.times.to_string()].into_iter();
        page.push_str(&row(cells.chain(kind.gaps.iter().map(|gaps| gaps.join(", ")))));
    }
    page
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    // A bar would end the cell, and a line break the table.
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, oracles};

    #[test]
    fn promises_and_gaps_are_tables_that_nothing_breaks() {
        let mut evidence = evidence();
        evidence.injected[0].proof = Err("0 | packets\ndropped".into());
        let findings = oracles::judge(&evidence);
        let page = page(&Report {
            evidence: &evidence,
            findings: &findings,
            seed: 7,
            repeat: "",
            began: jiff::Timestamp::UNIX_EPOCH,
            cluster: "3 masters, 0 workers".into(),
        });
        assert!(page.starts_with("**Broken.** 0 of 200 acknowledged writes lost;"), "{page}");
        assert!(page.contains("\n3 masters, 0 workers, seed 7.\n"), "{page}");
        assert!(
            page.contains("\n| every fault bit | **BROKEN**: ") && page.contains("0 \\| packets dropped"),
            "{page}"
        );
        assert!(page.ends_with("| kill-leader | 1 | 0.40 s, 0.40 s, 0.40 s | 0.40 s, 0.40 s, 0.40 s |\n"), "{page}");
    }
}
