//! The figures as a table in Markdown, ready for `docs/explanation/performance.md`.

use std::time::Duration;

use crate::load::Figures;

/// The run whose rate is the median.
///
/// # Panics
/// When there is no run.
pub fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    runs.swap_remove(runs.len() / 2)
}

/// One row: the load, then ours, etcd's and the ceiling's figures, then the ratios of the rates.
pub fn row(load: &str, ours: &Figures, etcd: &Figures, ceiling: &Figures) -> String {
    format!(
        "| {load} | {} | {} | {:.0}/s | {:.1}× | {:.2} |",
        cell(ours),
        cell(etcd),
        ceiling.rate,
        ours.rate / etcd.rate,
        ours.rate / ceiling.rate
    )
}

/// The table's head.
pub const HEAD: &str = "| load | Kontiki, 3 masters | etcd, 3 members | ceiling | ours / etcd | ours / ceiling |\n|---|---|---|---|---|---|";

fn cell(figures: &Figures) -> String {
    let failed = if figures.errors > 0 { format!(", {} failed", figures.errors) } else { String::new() };
    format!("{:.0}/s, p50 {}, p99 {}{failed}", figures.rate, time(figures.p50), time(figures.p99))
}

fn time(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_run_is_kept_whole() {
        let run = |rate| Figures { rate, p50: Duration::ZERO, p99: Duration::ZERO, errors: 0 };
        assert!((median(vec![run(3.0), run(1.0), run(2.0)]).rate - 2.0).abs() < f64::EPSILON);
    }
}
