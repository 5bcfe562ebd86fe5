//! Helpers for tests: conditions with deadlines, and commands of kubectl as data. A dev-dependency only.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

pub mod kubectl;

/// How long to wait between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `check` gives a value; panics with the last reason once `deadline` has passed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut looks = 0;
/// let value = testing::eventually(std::time::Duration::from_secs(5), async || {
///     looks += 1;
///     if looks == 3 { Ok(looks) } else { Err("too few looks") }
/// });
/// assert_eq!(value.await, 3);
/// # });
/// ```
pub async fn eventually<T, E: Display>(deadline: Duration, mut check: impl AsyncFnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(reason) => assert!(start.elapsed() < deadline, "not within {deadline:?}: {reason}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`eventually`] for a test without a runtime.
#[allow(clippy::disallowed_methods, reason = "the pause between two looks at a condition that has a deadline")]
pub fn eventually_blocking<T, E: Display>(deadline: Duration, mut check: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(reason) => assert!(start.elapsed() < deadline, "not within {deadline:?}: {reason}"),
        }
        std::thread::sleep(PAUSE);
    }
}
