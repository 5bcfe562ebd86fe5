//! `kontiki proxy`: the local port that the kubeconfig points at, leading to a master that is alive.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use client::{Kubeconfig, Masters};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{cli::ProxyArgs, shutdown, up::process::Process};

/// Runs until it is idle for long enough, or told to end. A second proxy on the same port ends at once: the port is the lock.
pub(crate) async fn run(args: ProxyArgs) -> Result<()> {
    let dir = &args.folder.dir;
    let kubeconfig =
        Kubeconfig::read(&dir.join("kubeconfig")).context("is there a cluster? start one with `kontiki up`")?;
    let address = local_address(&kubeconfig)?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::info!(%address, "a proxy runs already");
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}")),
    };
    save_own_process(dir)?;
    let stop = shutdown::on_signal();
    let masters = masters(&kubeconfig, stop.clone())?;
    let idle = (args.idle_minutes > 0).then(|| Duration::from_secs(u64::from(args.idle_minutes) * 60));
    tracing::info!(%address, "leading to the masters");
    client::proxy::run(listener, masters, idle, stop).await;
    Ok(())
}

/// The masters that a kubeconfig names, probed from now on.
pub(crate) fn masters(kubeconfig: &Kubeconfig, stop: CancellationToken) -> Result<Masters> {
    let accesses = kubeconfig.masters();
    let first = accesses.first().context("the kubeconfig names no master: make it anew with `kontiki up`")?;
    let identity = first.identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
    let tls = client::tls::client_config(&first.authority_pem, identity)?;
    let addresses = accesses.iter().map(|access| socket_address(&access.server)).collect::<Result<_>>()?;
    Ok(Masters::start(addresses, tls, stop))
}

/// The loopback address that the current context points at.
pub(crate) fn local_address(kubeconfig: &Kubeconfig) -> Result<SocketAddr> {
    socket_address(&kubeconfig.access(None)?.server)
}

fn socket_address(url: &str) -> Result<SocketAddr> {
    let address = url.strip_prefix("https://").unwrap_or(url);
    address.parse().with_context(|| format!("{url} in the kubeconfig is not https://<address>:<port>"))
}

fn save_own_process(dir: &Path) -> Result<()> {
    let own =
        i32::try_from(std::process::id()).ok().and_then(Process::find).context("/proc does not show this process")?;
    own.save(&dir.join("proxy.pid"))
}
