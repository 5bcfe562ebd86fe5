//! How long flushes take, over the last few hundred.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const SAMPLES: usize = 512;

#[derive(Default)]
struct Samples {
    micros: Vec<u32>,
    next: usize,
    started: Option<Instant>,
}

/// A ring of durations.
#[derive(Default)]
pub(super) struct Latency(Mutex<Samples>);

impl Latency {
    pub(super) fn begin(&self) {
        self.0.lock().started = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut samples = self.0.lock();
        let Some(started) = samples.started.take() else { return };
        let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
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
        self.0.lock().micros.len()
    }

    pub(super) fn pending(&self) -> Duration {
        self.0.lock().started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    pub(super) fn p99(&self) -> Duration {
        let mut micros = self.0.lock().micros.clone();
        if micros.is_empty() {
            return Duration::ZERO;
        }
        let rank = (micros.len() * 99 / 100).min(micros.len() - 1);
        let (_, value, _) = micros.select_nth_unstable(rank);
        Duration::from_micros(u64::from(*value))
    }
}
