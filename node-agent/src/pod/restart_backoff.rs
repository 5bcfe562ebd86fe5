//! How long a container that keeps ending, or an image that cannot be had, waits for the next try.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// A container that ran this long is taken to be healthy again.
const FORGET: SignedDuration = SignedDuration::from_mins(10);

/// Delays by key: 10 s, doubled by each failure up to 5 min.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    delays: BTreeMap<String, SignedDuration>,
}

impl Backoff {
    /// The delay that the next try of `key` has to wait after its last end; zero before the first failure.
    pub(crate) fn delay(&self, key: &str) -> SignedDuration {
        self.delays.get(key).copied().unwrap_or(SignedDuration::ZERO)
    }

    /// Counts a failure, or a restart that became necessary.
    pub(crate) fn fail(&mut self, key: &str) -> SignedDuration {
        let delay = match self.delays.get(key) {
            Some(delay) => (*delay * 2).min(LONGEST),
            None => FIRST,
        };
        self.delays.insert(key.to_owned(), delay);
        delay
    }

    /// Forgets the failures of `key`.
    pub(crate) fn reset(&mut self, key: &str) {
        self.delays.remove(key);
    }

    /// Counts the restart of a container that ran from `started` to `finished`: a long run clears the past.
    pub(crate) fn restarted(&mut self, key: &str, started: Timestamp, finished: Timestamp) {
        if finished.duration_since(started) >= FORGET {
            self.reset(key);
        }
        self.fail(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_minutes_and_forgets_after_ten_good_ones() {
        let mut backoff = Backoff::default();
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(backoff.delay("a"), SignedDuration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..7 {
            backoff.restarted("a", start, start + SignedDuration::from_secs(1));
            seen.push(backoff.delay("a").as_secs());
        }
        assert_eq!(seen, [10, 20, 40, 80, 160, 300, 300]);
        backoff.restarted("a", start, start + SignedDuration::from_mins(11));
        assert_eq!(backoff.delay("a").as_secs(), 10);
        assert_eq!(backoff.delay("b"), SignedDuration::ZERO);
    }
}
