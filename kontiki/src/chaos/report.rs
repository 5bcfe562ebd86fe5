//! What a run tells: a verdict line, a JUnit file, a summary in Markdown, and one HTML page.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{evidence::Evidence, oracles::Finding};

mod chart;
mod gaps;
mod html;
mod junit;
mod markdown;
mod style;
mod timeline;
mod verdict;

/// A judged run.
pub(crate) struct Report<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) findings: &'a [Finding],
    pub(crate) seed: u64,
    /// The command that makes this run again.
    pub(crate) repeat: &'a str,
    /// When it began, on the wall clock.
    pub(crate) began: jiff::Timestamp,
    /// What the cluster is: "3 masters, 2 workers".
    pub(crate) cluster: String,
}

impl Report<'_> {
    /// Whether all promises were kept.
    pub(crate) fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome.is_ok())
    }

    /// The lines for the terminal: what was broken, and the verdict.
    pub(crate) fn lines(&self) -> Vec<String> {
        verdict::lines(self)
    }

    /// Writes the JUnit file.
    pub(crate) fn write_junit(&self, path: &Path) -> Result<()> {
        write(path, &junit::file(self))
    }

    /// Writes the summary.
    pub(crate) fn write_summary(&self, path: &Path) -> Result<()> {
        write(path, &markdown::page(self))
    }

    /// Writes the page.
    pub(crate) fn write_html(&self, path: &Path) -> Result<()> {
        write(path, &html::page(self))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Text as it may stand in XML and HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML 1.0 has no other control characters, not even escaped.
            control if control.is_control() && control != '\n' && control != '\t' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A number with its thousands apart: 4,211.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as people read it: 3.2 ms, 0.38 s.
fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.0995 => format!("{:.1} ms", seconds * 1000.0),
        seconds => format!("{seconds:.2} s"),
    }
}

/// The value below which this part of the sorted times lies.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the slice")]
    let at = (part * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_easy_to_read() {
        assert_eq!(
            ["0", "999", "1,000", "4,211", "1,234,567"],
            [0, 999, 1000, 4211, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
        assert_eq!(shown(Duration::from_micros(3200)), "3.2 ms");
        assert_eq!(shown(Duration::from_millis(380)), "0.38 s");
        assert_eq!(quantile(&[1, 2, 3, 4].map(Duration::from_secs), 0.5), Duration::from_secs(3));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn text_of_others_cannot_break_out() {
        assert_eq!(escape("<a href=\"x\">&'\u{1}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}");
    }
}
