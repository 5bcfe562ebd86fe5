//! What a component takes from outside of its own memory: the time of day and chance.
//!
//! No component asks the system itself, so that a simulation which gives others decides what a component sees, and the same
//! seed gives the same run. What passes while something is waited for is tokio's time, which a simulation has as well.

mod planted;

use std::{fmt, ops::Range, sync::Arc};

use jiff::Timestamp;

pub use planted::Planted;

/// Reads a clock.
pub type Clock = dyn Fn() -> Timestamp + Send + Sync;

/// Draws 64 bits.
pub type Random = dyn Fn() -> u64 + Send + Sync;

/// See the module's documentation. Clones share both.
#[derive(Clone)]
pub struct Surroundings {
    clock: Arc<Clock>,
    random: Arc<Random>,
    planted: Option<Planted>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("planted", &self.planted).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// This process's clock, and this machine's chance.
    pub fn real() -> Self {
        Self::new(crate::clock::now, rand::random::<u64>)
    }

    /// The caller's.
    pub fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), random: Arc::new(random), planted: None }
    }

    /// The same with a bug on purpose, which means nothing without the feature `planted-bugs`.
    #[must_use]
    pub fn with(self, planted: Option<Planted>) -> Self {
        Self { planted, ..self }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Any number.
    pub fn random(&self) -> u64 {
        (self.random)()
    }

    /// A number of a range that is not empty.
    pub fn pick(&self, range: Range<u128>) -> u128 {
        let width = range.end.saturating_sub(range.start).max(1);
        let bits = u128::from(self.random()) << 64 | u128::from(self.random());
        range.start + bits % width
    }

    /// A share from nothing to, but without, the whole.
    pub fn share(&self) -> f64 {
        // As many bits as a fraction has.
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether there is this bug on purpose.
    pub fn has(&self, bug: Planted) -> bool {
        cfg!(feature = "planted-bugs") && self.planted == Some(bug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_lies_in_its_range() {
        for bits in [0, 1, u64::MAX / 2, u64::MAX] {
            let surroundings = Surroundings::new(|| Timestamp::UNIX_EPOCH, move || bits);
            assert!((5..9).contains(&surroundings.pick(5..9)));
            assert!((0.0..1.0).contains(&surroundings.share()));
        }
    }
}
