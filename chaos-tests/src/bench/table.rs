//! The figures as tables in Markdown, ready for `docs/explanation/performance.md`.

use std::time::Duration;

use crate::load::Figures;

/// One run of a load, and what it cost.
#[derive(Clone, Debug)]
pub struct Run {
    /// What its clients saw.
    pub figures: Figures,
    /// Processor time of all servers, for one operation.
    pub servers: Duration,
    /// The same of the load generator.
    pub generator: Duration,
}

impl Run {
    /// Divides the processor time by the operations.
    pub fn new(figures: Figures, servers: Duration, generator: Duration) -> Self {
        let each = |time: Duration| Duration::from_secs_f64(time.as_secs_f64() / figures.count.max(1) as f64);
        Self { servers: each(servers), generator: each(generator), figures }
    }
}

/// The run whose rate is the median, if there is any.
pub fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by(|a, b| a.figures.rate.total_cmp(&b.figures.rate));
    let middle = runs.len() / 2;
    (!runs.is_empty()).then(|| runs.swap_remove(middle))
}

/// The first table's head.
pub const HEAD: &str = "| load | Kontiki, 3 masters | etcd, 3 members | ceiling | ours / etcd | ours / ceiling | \
    processor time an operation: ours, etcd, ceiling, generator |\n|---|---|---|---|---|---|---|";

/// One row: the load, each server's figures, the ratios of the rates, and what an operation cost.
pub fn row(load: &str, ours: Option<&Run>, etcd: Option<&Run>, ceiling: Option<&Run>) -> String {
    let rate = |run: Option<&Run>| run.map(|run| run.figures.rate);
    let ceiling_rate = rate(ceiling).map_or(NONE.into(), |rate| format!("{rate:.0}/s"));
    let times = rate(ours).zip(rate(etcd)).map_or(NONE.into(), |(ours, etcd)| format!("{:.1}×", ours / etcd));
    let share = rate(ours).zip(rate(ceiling)).map_or(NONE.into(), |(ours, most)| format!("{:.2}", ours / most));
    let cost = [ours, etcd, ceiling].map(|run| run.map_or(NONE.into(), |run| micros(run.servers))).join(", ");
    let generator = ours.or(etcd).or(ceiling).map_or(NONE.into(), |run| micros(run.generator));
    format!(
        "| {load} | {} | {} | {ceiling_rate} | {times} | {share} | {cost}, {generator} |",
        cell(ours.map(|run| &run.figures)),
        cell(etcd.map(|run| &run.figures))
    )
}

/// The second table's head: what is not a rate.
pub const FACTS_HEAD: &str = "| what | Kontiki | etcd |\n|---|---|---|";

/// One row of it.
pub fn fact(what: &str, ours: Option<&str>, etcd: Option<&str>) -> String {
    format!("| {what} | {} | {} |", ours.unwrap_or(NONE), etcd.unwrap_or(NONE))
}

/// Where there is no figure.
const NONE: &str = "–";

/// A rate with its times.
pub fn cell(figures: Option<&Figures>) -> String {
    let Some(figures) = figures else { return NONE.into() };
    let failed = if figures.errors > 0 { format!(", {} failed", figures.errors) } else { String::new() };
    format!("{:.0}/s, p50 {}, p99 {}{failed}", figures.rate, millis(figures.p50), millis(figures.p99))
}

/// A time in milliseconds.
pub fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// A time in seconds.
pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// A time in microseconds.
pub fn micros(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64) -> Run {
        let figures = Figures { rate, count: 100, p50: Duration::ZERO, p99: Duration::ZERO, errors: 0 };
        Run::new(figures, Duration::from_millis(5), Duration::from_millis(1))
    }

    #[test]
    fn the_median_run_is_kept_whole() {
        let median = median(vec![run(3.0), run(1.0), run(2.0)]).unwrap();
        assert!((median.figures.rate - 2.0).abs() < f64::EPSILON);
        assert_eq!((median.servers, median.generator), (Duration::from_micros(50), Duration::from_micros(10)));
    }

    #[test]
    fn what_was_not_measured_is_said_to_be_missing() {
        let row = row("put", Some(&run(2.0)), Some(&run(4.0)), None);
        assert!(row.contains("| 0.5× | – | 50 µs, 50 µs, –, 10 µs |"), "{row}");
    }
}
