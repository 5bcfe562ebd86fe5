//! Debian's etcd, three members over mutual TLS on the loopback, with its own defaults.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use kontiki::{
    EtcdAccess,
    pki::{Authority, Leaf},
};

/// Running members; dropping them ends them.
pub struct Etcd {
    members: Vec<Child>,
    /// Client URLs.
    pub urls: Vec<String>,
}

/// Writes an authority, a server's and a client's certificate for the loopback into `folder`.
///
/// # Errors
/// When the folder cannot be written.
pub fn certificates(folder: &Path) -> Result<()> {
    let authority = Authority::generate("bench")?;
    let leaf = Leaf {
        common_name: "bench".into(),
        dns_names: vec!["localhost".into()],
        addresses: vec![[127, 0, 0, 1].into()],
        server: true,
        client: true,
        ..Leaf::default()
    };
    authority.issue(&leaf)?.save(folder, "server")?;
    EtcdAccess { authority: authority.cert().to_owned(), identity: authority.issue(&leaf)? }.save(folder)
}

impl Etcd {
    /// Starts three members whose data lies in `folder`, with the certificates of [`certificates`] in `pki`.
    ///
    /// # Errors
    /// When etcd is not installed.
    pub fn start(folder: &Path, pki: &Path) -> Result<Self> {
        let ports: Vec<(u16, u16)> = (0..3).map(|_| Ok((free_port()?, free_port()?))).collect::<Result<_>>()?;
        let cluster: Vec<String> =
            ports.iter().enumerate().map(|(n, (_, peer))| format!("e{n}=https://127.0.0.1:{peer}")).collect();
        let file = |name: &str| pki.join(name).to_string_lossy().into_owned();
        let mut members = Vec::new();
        for (n, (client, peer)) in ports.iter().enumerate() {
            let log = File::create(folder.join(format!("e{n}.log")))?;
            let member = Command::new("etcd")
                .arg(format!("--name=e{n}"))
                .arg(format!("--data-dir={}", folder.join(format!("e{n}")).display()))
                .args([format!("--listen-client-urls=https://127.0.0.1:{client}")])
                .args([format!("--advertise-client-urls=https://127.0.0.1:{client}")])
                .args([format!("--listen-peer-urls=https://127.0.0.1:{peer}")])
                .args([format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}")])
                .args([format!("--initial-cluster={}", cluster.join(",")), "--client-cert-auth".into()])
                .args(["--peer-client-cert-auth".into(), format!("--trusted-ca-file={}", file("ca.crt"))])
                .args([format!("--cert-file={}", file("server.crt")), format!("--key-file={}", file("server.key"))])
                .args([format!("--peer-trusted-ca-file={}", file("ca.crt"))])
                .args([format!("--peer-cert-file={}", file("server.crt"))])
                .args([format!("--peer-key-file={}", file("server.key"))])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("cannot start etcd: install Debian's etcd-server")?;
            members.push(member);
        }
        let urls = ports.iter().map(|(client, _)| format!("https://127.0.0.1:{client}")).collect();
        Ok(Self { members, urls })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended by itself; then there is nothing to end.
            drop(member.kill());
            drop(member.wait());
        }
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
