//! `kontiki credential`: what kubectl runs before a request. It starts the proxy where none answers, and prints the client
//! certificate as an `ExecCredential` (client.authentication.k8s.io/v1beta1).

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use client::Kubeconfig;
use serde_json::json;
use tokio::{net::TcpStream, time::Instant};

use crate::proxy;

/// How long a proxy may take until it listens.
const PROXY_START_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// The credential, as one line of JSON.
pub(crate) async fn exec_credential(dir: &Path) -> Result<String> {
    let kubeconfig =
        Kubeconfig::read(&dir.join("kubeconfig")).context("is there a cluster? start one with `kontiki up`")?;
    ensure_proxy(dir, proxy::local_address(&kubeconfig)?).await?;
    let accesses = kubeconfig.masters();
    let identity = accesses.into_iter().next().and_then(|access| access.identity);
    let (cert, key) = identity.context("the kubeconfig holds no client certificate: make it anew with `kontiki up`")?;
    let status = json!({
        "clientCertificateData": String::from_utf8(cert)?,
        "clientKeyData": String::from_utf8(key)?,
    });
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": status,
    });
    Ok(credential.to_string())
}

/// Starts the proxy of the cluster in `dir` unless its port answers.
pub(crate) async fn ensure_proxy(dir: &Path, address: SocketAddr) -> Result<()> {
    if TcpStream::connect(address).await.is_ok() {
        return Ok(());
    }
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("proxy.log"))?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new(program)
        .args(["proxy", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start the proxy")?;
    let deadline = Instant::now() + PROXY_START_TIMEOUT;
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() > deadline {
            bail!("the proxy does not answer at {address}: see {}", dir.join("proxy.log").display());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
