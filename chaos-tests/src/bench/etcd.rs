//! Debian's etcd, three members over mutual TLS on the loopback, with its own defaults.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use kontiki::{
    EtcdAccess,
    pki::{Authority, Leaf},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::server::Members;

/// Running members; dropping them ends them.
pub struct Etcd {
    members: Vec<Member>,
    access: EtcdAccess,
    urls: Vec<String>,
}

struct Member {
    arguments: Vec<String>,
    log: PathBuf,
    process: Child,
}

impl Member {
    fn start(arguments: Vec<String>, log: PathBuf) -> Result<Self> {
        let process = spawn(&arguments, &log)?;
        Ok(Self { arguments, log, process })
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(self.process.id().try_into()?))
    }
}

fn spawn(arguments: &[String], log: &Path) -> Result<Child> {
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new("etcd");
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot start etcd: install Debian's etcd-server")
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
            let arguments = vec![
                format!("--name=e{n}"),
                format!("--data-dir={}", folder.join(format!("e{n}")).display()),
                format!("--listen-client-urls=https://127.0.0.1:{client}"),
                format!("--advertise-client-urls=https://127.0.0.1:{client}"),
                format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"),
                format!("--initial-cluster={}", cluster.join(",")),
                "--client-cert-auth".into(),
                "--peer-client-cert-auth".into(),
                format!("--trusted-ca-file={}", file("ca.crt")),
                format!("--cert-file={}", file("server.crt")),
                format!("--key-file={}", file("server.key")),
                format!("--peer-trusted-ca-file={}", file("ca.crt")),
                format!("--peer-cert-file={}", file("server.crt")),
                format!("--peer-key-file={}", file("server.key")),
            ];
            members.push(Member::start(arguments, folder.join(format!("e{n}.log")))?);
        }
        let urls = ports.iter().map(|(client, _)| format!("https://127.0.0.1:{client}")).collect();
        Ok(Self { members, access: EtcdAccess::load(pki)?, urls })
    }
}

impl Members for Etcd {
    fn access(&self) -> &EtcdAccess {
        &self.access
    }

    fn urls(&self) -> &[String] {
        &self.urls
    }

    fn pid(&self, member: usize) -> Result<i32> {
        self.members[member].pid().map(Pid::as_raw)
    }

    fn end(&mut self, member: usize, signal: Signal) -> Result<()> {
        Ok(kill(self.members[member].pid()?, signal)?)
    }

    fn start(&mut self) -> Result<()> {
        for member in &mut self.members {
            if member.process.try_wait()?.is_some() {
                member.process = spawn(&member.arguments, &member.log)?;
            }
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for Member { process, .. } in &mut self.members {
            // It may have ended by itself; then there is nothing to end.
            drop(process.kill());
            drop(process.wait());
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
