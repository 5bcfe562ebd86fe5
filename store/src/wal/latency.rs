//! How long flushes take, over the last few hundred.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::time::Instant;

const SAMPLES: usize = 512;

#[derive(Default)]
struct Samples {
    micros: Vec<u32>,
    next: usize,
    started: Option<Instant>,
}

/// A ring of durations, and all of them in a histogram.
pub(super) struct Latency {
    samples: Mutex<Samples>,
    histogram: Histogram,
}

impl Default for Latency {
    fn default() -> Self {
        // etcd's buckets: from 1 ms, doubling.
        Self { samples: Mutex::default(), histogram: Histogram::new(exponential_buckets(0.001, 2.0, 14)) }
    }
}

impl Latency {
    pub(super) fn histogram(&self) -> Histogram {
        self.histogram.clone()
    }

    pub(super) fn begin(&self) {
        self.samples.lock().started = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut samples = self.samples.lock();
        let Some(started) = samples.started.take() else { return };
        let taken = started.elapsed();
        self.histogram.observe(taken.as_secs_f64());
        let micros = u32::try_from(taken.as_micros()).unwrap_or(u32::MAX);
        if samples.micros.len() < SAMPLES {
            samples.micros.push(micros);
        } else {
            let next = samples.next;
            samples.micros[next] = micros;
            samples.next = (next + 1) % SAMPLES;
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.samples.lock().micros.len()
    }

    pub(super) fn pending(&self) -> Duration {
        self.samples.lock().started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    pub(super) fn p99(&self) -> Duration {
        let mut micros = self.samples.lock().micros.clone();
        if micros.is_empty() {
            return Duration::ZERO;
        }
        let rank = (micros.len() * 99 / 100).min(micros.len() - 1);
        let (_, value, _) = micros.select_nth_unstable(rank);
        Duration::from_micros(u64::from(*value))
    }
}
