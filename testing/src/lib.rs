//! Helpers for tests: conditions with deadlines, free ports, and commands of kubectl as data. A dev-dependency only.

use std::{
    fmt::Display,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

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
        if is_free(address).is_ok() {
            return address;
        }
    }
}

/// Fails where somebody listens. It does not listen itself: a process that another test is just beginning would have the
/// listening socket for a moment longer than this one, and nobody could take the port meanwhile.
fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
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

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process::Command, sync::atomic::AtomicBool};

    use super::*;

    #[test]
    fn a_free_address_can_be_taken_at_once_while_processes_begin() {
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
            // The listeners stay until the end: one that closes may be held by a process that begins.
            let taken: Result<Vec<TcpListener>, _> = (0..500).map(|_| TcpListener::bind(free_address())).collect();
            enough.store(true, Ordering::Relaxed);
            taken.unwrap();
        });
    }
}
