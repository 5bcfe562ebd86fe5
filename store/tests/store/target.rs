//! A server to test against: one member of ours, or Debian's etcd to compare with.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use proto::etcdserverpb::kv_client::KvClient;
use store::{Config, Limits, Start, Store, Timing, Tls};
use tempfile::TempDir;
use testing::{eventually, free_address};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::cluster::{Authority, CLUSTER};

const MEMBER: u64 = 0xa1;
/// For a command that answers at once, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// One member, ours or etcd's.
pub(crate) struct Target {
    flags: Vec<String>,
    _dir: TempDir,
    pub(crate) store: Option<Store>,
    _etcd: Option<Child>,
    url: String,
    tls: Option<Tls>,
}

impl Target {
    pub(crate) async fn ours() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (peers, clients) = (free_address(), free_address());
        let config = Config {
            dir: dir.path().join("store"),
            cluster_id: CLUSTER,
            member_id: MEMBER,
            name: "one".to_owned(),
            peer_listen: peers,
            client_listen: clients,
            peer_url: format!("https://{peers}"),
            client_url: format!("https://{clients}"),
            tls: authority.member(MEMBER),
            start: Start::Init,
            introduced: BTreeMap::new(),
            timing: Timing::default(),
            limits: Limits::default(),
        };
        let store = Store::start(config).await.unwrap();
        let tls = authority.client("root");
        let flags = write_flags(dir.path(), &tls, clients);
        Self { flags, _dir: dir, store: Some(store), _etcd: None, url: format!("https://{clients}"), tls: Some(tls) }
    }

    /// Ours, and etcd itself to compare with.
    pub(crate) async fn both() -> [Self; 2] {
        let (ours, etcd) = tokio::join!(Self::ours(), Self::etcd());
        [ours, etcd]
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.url.clone()).unwrap();
        let endpoint = match &self.tls {
            Some(Tls { ca_pem, cert_pem, key_pem, .. }) => {
                let tls = ClientTlsConfig::new()
                    .ca_certificate(Certificate::from_pem(ca_pem))
                    .identity(Identity::from_pem(cert_pem, key_pem));
                endpoint.tls_config(tls).unwrap()
            }
            None => endpoint,
        };
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel().await)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn ours_is_this(&self) -> bool {
        self.store.is_some()
    }

    pub(crate) async fn stop(self) {
        if let Some(store) = self.store {
            store.shutdown().await;
        }
    }

    pub(crate) async fn etcd() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (peers, clients) = (format!("http://{}", free_address()), format!("http://{}", free_address()));
        let etcd = Command::new("etcd")
            .arg("--data-dir")
            .arg(dir.path())
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let flags = vec!["--endpoints".to_owned(), clients.clone()];
        let target = Self { flags, _dir: dir, store: None, _etcd: Some(etcd), url: clients, tls: None };
        eventually(DEADLINE, async || {
            let answer = target.run(&["endpoint", "health"], "").await;
            if answer.contains("is healthy") { Ok(()) } else { Err(answer) }
        })
        .await;
        target
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        // Its own five seconds are too few for a machine with more to do.
        command
            .env("ETCDCTL_API", "3")
            .args(["--command-timeout=30s", "--dial-timeout=30s"])
            .args(&self.flags)
            .args(args)
            .kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the command prints, an error as its last line.
    pub(crate) async fn run(&self, args: &[&str], input: &str) -> String {
        let mut child = self.command(args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("etcdctl {args:?} did not end")).unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        text.extend(
            errors
                .lines()
                .filter(|line| ["Error", "watch was canceled", "http"].iter().any(|start| line.starts_with(start)))
                .map(|line| format!("{line}\n")),
        );
        text
    }

    /// The first lines a command prints that would go on for ever.
    pub(crate) async fn lines(&self, args: &[&str], count: usize) -> Vec<String> {
        let mut child = self.command(args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut found = Vec::new();
        while found.len() < count {
            found.push(tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap());
        }
        found
    }
}

fn write_flags(dir: &Path, tls: &Tls, clients: SocketAddr) -> Vec<String> {
    let mut flags = vec!["--endpoints".to_owned(), format!("https://{clients}")];
    for (flag, name, pem) in
        [("--cacert", "ca", &tls.ca_pem), ("--cert", "client", &tls.cert_pem), ("--key", "key", &tls.key_pem)]
    {
        let path = dir.join(name).with_extension("pem");
        fs::write(&path, pem).unwrap();
        flags.extend([flag.to_owned(), path.display().to_string()]);
    }
    flags
}
