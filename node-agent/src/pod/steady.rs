//! A worker's own clock, which nobody sets: the time of day when the worker began, and what has passed since.
//!
//! Grace periods, back-offs and deadlines are waited for by it. A node whose clock is set back by an hour must not kill a
//! container an hour late, and one whose clock is set forward must not kill it at once.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    began: Timestamp,
    since: Instant,
}

impl Steady {
    /// A clock that begins with this time of day.
    pub(crate) fn new(began: Timestamp) -> Self {
        Self { began, since: Instant::now() }
    }

    /// What it says now.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or_default();
        self.began.checked_add(passed).unwrap_or(self.began)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_with_what_passes_whatever_the_time_of_day_is() {
        let steady = Steady::new(Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(steady.now().to_string(), "1970-01-01T00:01:30Z");
    }
}
