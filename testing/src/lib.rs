//! Helpers for tests: conditions with deadlines, free ports, and commands of kubectl as data. A dev-dependency only.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

pub mod kubectl;

/// How long to wait between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);
/// Ports that the kernel gives to no outgoing connection.
const PORTS: std::ops::Range<u32> = 10_000..30_000;

/// An address of this machine on which nobody listens, another one at every call. While a server that had it is away, no
/// outgoing connection takes it.
pub fn free_address() -> SocketAddr {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Processes that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(97).wrapping_add(DRAWN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + place % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap_or_default()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

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
