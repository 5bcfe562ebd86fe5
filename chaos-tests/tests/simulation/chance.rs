//! The one source of everything that is left to chance in a run.

use std::{ops::Range, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Draws by seed. Clones share the sequence.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Another sequence, decided by this one.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.bits())
    }

    pub(crate) fn bits(&self) -> u64 {
        self.0.lock().random()
    }

    pub(crate) fn below(&self, end: usize) -> usize {
        self.0.lock().random_range(0..end)
    }

    /// Once in so many times.
    pub(crate) fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.0.lock().random_range(range))
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
