//! `make bench`: prints the store's figures beside etcd's and beside the ceilings.

use std::{
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use chaos_tests::{
    Cluster,
    bench::{ceiling, disk, etcd, etcd::Etcd, table},
    load::{self, Figures, Load, Operation},
};
use clap::Parser;
use kontiki::EtcdAccess;
use tonic::transport::Channel;

/// Runs of each load; the median is kept.
const RUNS: usize = 3;
/// How long servers may take to answer for the first time.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Measures Kontiki's store beside etcd and beside the ceilings.
#[derive(Parser)]
struct Arguments {
    /// Seconds of each run
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The kontiki program
    #[arg(long, default_value = "target/release/kontiki")]
    kontiki: std::path::PathBuf,
    /// Serve as the ceiling on this port instead (used by the bench itself)
    #[arg(long, hide = true, requires = "pki")]
    ceiling: Option<u16>,
    /// Folder of the ceiling's certificates
    #[arg(long, hide = true)]
    pki: Option<std::path::PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (arguments.ceiling, &arguments.pki) {
        (Some(port), Some(pki)) => runtime.block_on(ceiling::serve(([127, 0, 0, 1], port).into(), pki)),
        _ => runtime.block_on(measure(&arguments)),
    }
}

/// A server that is measured.
struct Server {
    access: EtcdAccess,
    urls: Vec<String>,
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kontiki-bench-").tempdir_in(".")?;
    let pki = folder.path().join("pki");
    std::fs::create_dir(&pki)?;
    etcd::certificates(&pki)?;
    say(&format!("raw append of 512 B + fdatasync: {:.0}/s\n", disk::appends(folder.path(), Duration::from_secs(2))?));
    let loads = [
        ("put 256 B, 1 client", Operation::Put { bytes: 256 }, 1),
        ("put 256 B, 64 clients", Operation::Put { bytes: 256 }, 64),
        ("put 256 B, 1000 clients", Operation::Put { bytes: 256 }, 1000),
        ("get, linearizable, 64 clients", Operation::Get, 64),
    ]
    .map(|(name, operation, clients)| {
        (name, Load { operation, clients, duration: Duration::from_secs(arguments.seconds) })
    });
    let ceiling = measure_ceiling(&pki, &loads).await?;
    let etcd = measure_etcd(folder.path(), &pki, &loads).await?;
    let ours = measure_ours(&arguments.kontiki, &loads).await?;
    say(table::HEAD);
    for (n, (name, _)) in loads.iter().enumerate() {
        say(&table::row(name, &ours[n], &etcd[n], &ceiling[n]));
    }
    Ok(())
}

type Loads<'a> = [(&'a str, Load)];

async fn measure_ceiling(pki: &Path, loads: &Loads<'_>) -> Result<Vec<Figures>> {
    let port = etcd::free_port()?;
    let program = std::env::current_exe()?;
    let child = Command::new(program).args(["--ceiling", &port.to_string(), "--pki"]).arg(pki).spawn()?;
    let _ended = EndOnDrop(child);
    let access = ceiling::access(pki)?;
    run_all(&Server { access, urls: vec![format!("https://127.0.0.1:{port}")] }, loads).await
}

async fn measure_etcd(folder: &Path, pki: &Path, loads: &Loads<'_>) -> Result<Vec<Figures>> {
    let etcd = Etcd::start(folder, pki)?;
    run_all(&Server { access: EtcdAccess::load(pki)?, urls: etcd.urls.clone() }, loads).await
}

async fn measure_ours(program: &Path, loads: &Loads<'_>) -> Result<Vec<Figures>> {
    let program = std::fs::canonicalize(program).context("build it first: cargo build --release")?;
    let cluster = Cluster::up(program, &["--workers", "0"]);
    let urls = cluster.masters().iter().map(|(_, address)| format!("https://{address}:2379")).collect();
    run_all(&Server { access: EtcdAccess::load(&cluster.dir().join("etcd"))?, urls }, loads).await
}

/// One connection for ten clients, over all members.
async fn run_all(server: &Server, loads: &Loads<'_>) -> Result<Vec<Figures>> {
    let leader_first = leader_first(server).await?;
    let mut figures = Vec::new();
    for (_, load) in loads {
        let connections = load.clients.div_ceil(10).max(1);
        let urls = leader_first.iter().cycle().take(connections);
        let channels: Vec<Channel> = urls.map(|url| server.access.channel(url)).collect::<Result<_>>()?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(load::run(*load, &channels).await?);
        }
        figures.push(table::median(runs));
    }
    Ok(figures)
}

/// The members' URLs, the leader's first: a single client asks the leader, as etcd's own figures do. Waits until it serves.
async fn leader_first(server: &Server) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let channel = server.access.channel(&server.urls[0])?;
        let probe = Load { operation: Operation::Put { bytes: 8 }, clients: 1, duration: Duration::from_millis(1) };
        match load::run(probe, &[channel]).await {
            Ok(_) => break,
            Err(error) if start.elapsed() > START_TIMEOUT => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let mut urls = server.urls.clone();
    for (n, url) in server.urls.iter().enumerate() {
        let channel = server.access.channel(url)?;
        let status = proto::etcdserverpb::StatusRequest {};
        let mut client = proto::etcdserverpb::maintenance_client::MaintenanceClient::new(channel);
        // The ceiling has no maintenance service, and only one member.
        if let Ok(status) = client.status(status).await.map(tonic::Response::into_inner)
            && status.header.is_some_and(|header| header.member_id == status.leader)
        {
            urls.swap(0, n);
            break;
        }
    }
    Ok(urls)
}

struct EndOnDrop(Child);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[allow(clippy::print_stdout, reason = "a bench is for reading")]
fn say(line: &str) {
    println!("{line}");
}
