//! A TCP proxy on the loopback that moves bytes between kubectl and a ready master.
//!
//! TLS passes through untouched: the proxy sees neither certificates nor requests. It answers for one thing only: that
//! a connection made at any moment reaches a living master. Until the master's first byte arrives, the client's bytes
//! are kept, so that a handshake with a master that dies is repeated with the next one. Connections to a dead master are
//! cut, which makes kubectl fail or retry at once instead of hanging.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::masters::{Choice, Masters};

/// kubectl gives up a handshake after 10 s.
const WAIT_FOR_MASTER: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A TLS ClientHello, even with post-quantum key shares, has less than half of this.
const FIRST_FLIGHT_BYTES_MAX: usize = 16 * 1024;
/// A workstation's kubectl, dashboards and scripts; each costs two sockets and 16 KiB.
const CONNECTIONS_MAX: usize = 1024;

/// Serves `listener` until `shutdown`, or until no connection was open for `idle`.
pub async fn run(listener: TcpListener, masters: Masters, idle: Option<Duration>, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut quiet_since = Instant::now();
    loop {
        let ends = idle.filter(|_| connections.is_empty()).map(|idle| quiet_since + idle);
        let full = connections.len() >= CONNECTIONS_MAX;
        tokio::select! {
            accepted = listener.accept(), if !full => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, masters.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    // Out of file descriptors: wait for connections to end instead of spinning.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_ended) = connections.join_next() => quiet_since = Instant::now(),
            () = until(ends) => return,
            () = shutdown.cancelled() => return,
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn serve(mut client: TcpStream, masters: Masters) {
    if let Err(error) = client.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut first_flight = Vec::with_capacity(2048);
    let deadline = Instant::now() + WAIT_FOR_MASTER;
    loop {
        let Ok(choice) = masters.pick(deadline).await else {
            tracing::debug!("a connection ended: no master answers");
            return;
        };
        match begin(&mut client, &choice, &mut first_flight).await {
            Begin::Answered(mut server) => {
                tokio::select! {
                    _moved = copy_bidirectional(&mut client, &mut server) => {}
                    () = choice.life.cancelled() => {}
                }
                return;
            }
            Begin::ClientGone => return,
            Begin::MasterGone => masters.suspect(choice.address),
        }
    }
}

enum Begin {
    /// The master's first bytes went to the client.
    Answered(TcpStream),
    ClientGone,
    MasterGone,
}

/// Sends what the client said so far, and forwards both ways until the master has said something.
async fn begin(client: &mut TcpStream, choice: &Choice, first_flight: &mut Vec<u8>) -> Begin {
    tokio::select! {
        begin = exchange_first_flight(client, choice.address, first_flight) => begin,
        () = choice.life.cancelled() => Begin::MasterGone,
    }
}

async fn exchange_first_flight(client: &mut TcpStream, address: SocketAddr, first_flight: &mut Vec<u8>) -> Begin {
    let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await else {
        return Begin::MasterGone;
    };
    if server.set_nodelay(true).is_err() || server.write_all(first_flight).await.is_err() {
        return Begin::MasterGone;
    }
    let mut said = vec![0; 4096];
    let mut answered = vec![0; 4096];
    loop {
        let may_read = first_flight.len() < FIRST_FLIGHT_BYTES_MAX;
        tokio::select! {
            read = client.read(&mut said), if may_read => match read {
                Ok(count) if count > 0 => {
                    first_flight.extend_from_slice(&said[..count]);
                    if server.write_all(&said[..count]).await.is_err() {
                        return Begin::MasterGone;
                    }
                }
                Ok(_) | Err(_) => return Begin::ClientGone,
            },
            read = server.read(&mut answered) => return match read {
                Ok(count) if count > 0 => match client.write_all(&answered[..count]).await {
                    Ok(()) => Begin::Answered(server),
                    Err(_) => Begin::ClientGone,
                },
                // Nothing said to a client that said nothing: an idle connection closed by the master's own rule.
                Ok(_) | Err(_) if first_flight.is_empty() => Begin::ClientGone,
                Ok(_) | Err(_) => Begin::MasterGone,
            },
        }
    }
}
