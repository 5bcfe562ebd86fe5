//! `make bench`: prints the store's figures beside etcd's and beside the ceilings.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::Result;
use chaos_tests::{
    bench::{
        FILL_BYTES, FILL_KEYS, ceiling, disk, etcd,
        etcd::Etcd,
        faults,
        ours::Ours,
        processes,
        running::Running,
        server::{self, Members},
        table::{self, Run},
        watchers::{self, Watchers},
    },
    load::{self, Figures, Load, Operation},
};
use clap::{Parser, ValueEnum};
use kontiki::EtcdAccess;
use nix::sys::signal::Signal;
use tonic::transport::Channel;

/// Runs of each load; the median is kept.
const RUNS: usize = 3;
/// Clients on one connection.
const CLIENTS_A_CONNECTION: usize = 10;
/// Leaders killed, and leaders stopped in order.
const KILLS: usize = 10;
const STOPS: usize = 5;

/// Measures Kontiki's store beside etcd and beside the ceilings.
#[derive(Parser)]
struct Arguments {
    /// Seconds of each run
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The kontiki program
    #[arg(long, default_value = "target/release/kontiki")]
    kontiki: PathBuf,
    /// Measure these servers only
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Kontiki, Kind::Etcd, Kind::Ceiling])]
    servers: Vec<Kind>,
    /// Measure only what has one of these words in its name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Instead of starting Kontiki, measure the members that a folder describes: ca.crt, client.crt, client.key, urls, pids
    #[arg(long)]
    running: Option<PathBuf>,
    /// Serve as the ceiling on this port instead (used by the bench itself)
    #[arg(long, hide = true, requires = "pki")]
    ceiling: Option<u16>,
    /// Folder of the ceiling's certificates
    #[arg(long, hide = true)]
    pki: Option<PathBuf>,
}

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Kontiki,
    Etcd,
    Ceiling,
}

const KINDS: [Kind; 3] = [Kind::Kontiki, Kind::Etcd, Kind::Ceiling];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (arguments.ceiling, &arguments.pki) {
        (Some(port), Some(pki)) => runtime.block_on(ceiling::serve(([127, 0, 0, 1], port).into(), pki)),
        _ => runtime.block_on(async {
            tokio::select! {
                biased;
                // The servers are ended on the way out.
                _ = tokio::signal::ctrl_c() => Ok(()),
                measured = measure(&arguments) => measured,
            }
        }),
    }
}

/// The members of one store, and what of them has been measured.
struct Measured {
    kind: Kind,
    members: Box<dyn Members>,
}

/// What the bench was told to do, and where.
struct Bench<'a> {
    arguments: &'a Arguments,
    folder: tempfile::TempDir,
    pki: PathBuf,
    starts: usize,
}

impl Bench<'_> {
    fn wants(&self, name: &str) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// Starts a server with empty folders.
    fn start(&mut self, kind: Kind) -> Result<Box<dyn Members>> {
        self.starts += 1;
        Ok(match (kind, &self.arguments.running) {
            (Kind::Kontiki, Some(running)) => Box::new(Running::load(running)?),
            (Kind::Kontiki, None) => Box::new(Ours::start(&self.arguments.kontiki)?),
            (Kind::Etcd, _) => {
                let folder = self.folder.path().join(format!("etcd-{}", self.starts));
                std::fs::create_dir(&folder)?;
                Box::new(Etcd::start(&folder, &self.pki)?)
            }
            (Kind::Ceiling, _) => Box::new(Ceiling::start(&self.pki)?),
        })
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> + use<'_> {
        KINDS.into_iter().filter(|kind| self.arguments.servers.contains(kind))
    }

    async fn start_all(&mut self, kinds: &[Kind]) -> Result<Vec<Measured>> {
        let mut all = Vec::new();
        for kind in kinds {
            let members = self.start(*kind)?;
            server::all_serve(&*members).await?;
            all.push(Measured { kind: *kind, members });
        }
        Ok(all)
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kontiki-bench-").tempdir_in(".")?;
    let pki = folder.path().join("pki");
    std::fs::create_dir(&pki)?;
    etcd::certificates(&pki)?;
    let mut bench = Bench { arguments, folder, pki, starts: 0 };
    say(&format!(
        "raw append of 512 B + fdatasync: {:.0}/s\n",
        disk::appends(bench.folder.path(), Duration::from_secs(2))?
    ));
    say(table::HEAD);
    let mut facts = Facts::default();
    measure_small(&mut bench, &mut facts).await?;
    measure_filled(&mut bench, &mut facts).await?;
    measure_faults(&mut bench, &mut facts).await?;
    if !facts.0.is_empty() {
        say(&format!("\n{}", table::FACTS_HEAD));
    }
    for Fact { name, ours, etcd } in &facts.0 {
        say(&table::fact(name, ours.as_deref(), etcd.as_deref()));
    }
    Ok(())
}

/// One line of the second table.
struct Fact {
    name: String,
    ours: Option<String>,
    etcd: Option<String>,
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &str, kind: Kind, text: String) {
        let at = self.0.iter().position(|fact| fact.name == name).unwrap_or_else(|| {
            self.0.push(Fact { name: name.into(), ours: None, etcd: None });
            self.0.len() - 1
        });
        match kind {
            Kind::Kontiki => self.0[at].ours = Some(text),
            Kind::Etcd => self.0[at].etcd = Some(text),
            Kind::Ceiling => {}
        }
    }
}

/// Loads on stores that are empty at first.
async fn measure_small(bench: &mut Bench<'_>, facts: &mut Facts) -> Result<()> {
    let put = Operation::Put { bytes: 256 };
    let loads = [
        ("put 256 B, 1 client", put, 1),
        ("put 256 B, 64 clients", put, 64),
        ("put 256 B, 1000 clients", put, 1000),
        ("get, linearizable, 64 clients", Operation::Get, 64),
        ("compare-and-swap (get, then txn) 256 B, 64 clients", Operation::CompareAndSwap { bytes: 256 }, 64),
    ];
    let watches = [
        ("watch, 1000 watches on 50 streams, 30 puts/s", 1000, 50, 30),
        ("watch, 10,000 watches on 100 streams of one member, 3 puts/s", 10_000, 100, 3),
    ];
    let names = loads.iter().map(|(name, ..)| *name).chain(watches.iter().map(|(name, ..)| *name));
    if !names.into_iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    let kinds: Vec<Kind> = bench.kinds().collect();
    let servers = bench.start_all(&kinds).await?;
    for (name, operation, clients) in loads {
        if bench.wants(name) {
            let duration = Duration::from_secs(bench.arguments.seconds);
            compare(name, Load { operation, clients, duration }, &servers).await?;
        }
    }
    for (name, watches, streams, puts_a_second) in watches {
        for Measured { kind, members } in servers.iter().filter(|server| server.kind != Kind::Ceiling) {
            if bench.wants(name) {
                let load = Watchers { watches, streams, puts_a_second, duration: Duration::from_secs(4) };
                let members_watched = if watches > 1000 { 1 } else { members.urls().len() };
                let channels = server::channels(&**members, streams.min(members_watched * 17)).await?;
                let channels: Vec<Channel> =
                    channels.into_iter().step_by(members.urls().len() / members_watched).collect();
                let run = costed(&**members, watchers::run(load, &channels)).await?;
                let cost = format!(", {:.1} µs of processor time an event", run.servers.as_secs_f64() * 1e6);
                facts.add(name, *kind, table::cell(Some(&run.figures)) + &cost);
            }
        }
    }
    Ok(())
}

/// Runs a load on each server in turn, and prints its row.
async fn compare(name: &str, load: Load, servers: &[Measured]) -> Result<()> {
    let connections = load.clients.div_ceil(CLIENTS_A_CONNECTION);
    let mut runs = KINDS.map(|_| Vec::new());
    let mut channels = Vec::new();
    for server in servers {
        channels.push(server::channels(&*server.members, connections).await?);
    }
    for _ in 0..RUNS {
        for (server, channels) in servers.iter().zip(&channels) {
            runs[server.kind as usize].push(costed(&*server.members, load::run(load, channels)).await?);
        }
    }
    let [ours, etcd, ceiling] = runs.map(table::median);
    say(&table::row(name, ours.as_ref(), etcd.as_ref(), ceiling.as_ref()));
    Ok(())
}

/// Measures what a load costs the servers and this process.
async fn costed(members: &dyn Members, load: impl Future<Output = Result<Figures>>) -> Result<Run> {
    let (pids, own) = (server::pids(members), [i32::try_from(std::process::id())?]);
    let before = (processes::processor_time(&pids), processes::processor_time(&own));
    let figures = load.await?;
    let after = (processes::processor_time(&pids), processes::processor_time(&own));
    Ok(Run::new(figures, after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)))
}

/// Memory, lists and restarts of stores with many keys.
async fn measure_filled(bench: &mut Bench<'_>, facts: &mut Facts) -> Result<()> {
    let (memory, list, restart) = (
        "memory, 100 k keys × 1 KiB",
        "list 500 of 100 k keys × 1 KiB, 8 clients",
        "restart to serving, 100 k keys × 1 KiB",
    );
    if ![memory, list, restart].into_iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    let kinds: Vec<Kind> = bench.kinds().collect();
    let mut servers = bench.start_all(&kinds).await?;
    for Measured { kind, members } in servers.iter().filter(|server| server.kind != Kind::Ceiling) {
        load::fill(FILL_KEYS, FILL_BYTES, &server::channels(&**members, 6).await?).await?;
        let sizes: Vec<f64> = server::pids(&**members).into_iter().flat_map(processes::resident_mebibytes).collect();
        let (least, most) = sizes.iter().fold((f64::MAX, 0.0_f64), |(a, b), size| (a.min(*size), b.max(*size)));
        facts.add(memory, *kind, format!("{least:.0} to {most:.0} MiB"));
    }
    if bench.wants(list) {
        let operation = Operation::List { limit: 500 };
        compare(list, Load { operation, clients: 8, duration: Duration::from_secs(bench.arguments.seconds) }, &servers)
            .await?;
    }
    for Measured { kind, members } in servers.iter_mut().filter(|server| server.kind != Kind::Ceiling) {
        if bench.wants(restart) {
            let mut times = Vec::new();
            for _ in 0..RUNS {
                times.push(faults::restart(&mut **members).await?);
            }
            times.sort();
            facts.add(restart, *kind, say_times(&times)?);
        }
    }
    Ok(())
}

/// Leaders that go away.
async fn measure_faults(bench: &mut Bench<'_>, facts: &mut Facts) -> Result<()> {
    let stopped = "leader stopped in order under 64 writers, longest gap";
    let killed = "leader killed under 64 writers, longest gap";
    let kinds: Vec<Kind> = bench.kinds().filter(|kind| *kind != Kind::Ceiling).collect();
    for kind in kinds {
        if ![stopped, killed].into_iter().any(|name| bench.wants(name)) {
            return Ok(());
        }
        let mut members = bench.start(kind)?;
        server::all_serve(&*members).await?;
        for (name, signal, times) in [(stopped, Signal::SIGTERM, STOPS), (killed, Signal::SIGKILL, KILLS)] {
            if bench.wants(name) {
                let gaps = faults::lose_leaders(&mut *members, signal, times).await?;
                facts.add(name, kind, say_times(&gaps)?);
            }
        }
    }
    Ok(())
}

fn say_times(sorted: &[Duration]) -> Result<String> {
    let (median, worst) = faults::median_and_worst(sorted)?;
    Ok(format!("{} median, {} worst of {}", table::seconds(median), table::seconds(worst), sorted.len()))
}

/// A server that answers without work, in a process of its own.
struct Ceiling {
    process: Child,
    access: EtcdAccess,
    urls: Vec<String>,
}

impl Ceiling {
    fn start(pki: &Path) -> Result<Self> {
        let port = etcd::free_port()?;
        let program = std::env::current_exe()?;
        let process = Command::new(program).args(["--ceiling", &port.to_string(), "--pki"]).arg(pki).spawn()?;
        Ok(Self { process, access: EtcdAccess::load(pki)?, urls: vec![format!("https://127.0.0.1:{port}")] })
    }
}

impl Members for Ceiling {
    fn access(&self) -> &EtcdAccess {
        &self.access
    }

    fn urls(&self) -> &[String] {
        &self.urls
    }

    fn pid(&self, _member: usize) -> Result<i32> {
        Ok(i32::try_from(self.process.id())?)
    }

    fn end(&mut self, _member: usize, _signal: Signal) -> Result<()> {
        anyhow::bail!("the ceiling is not ended")
    }

    fn start(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[allow(clippy::print_stdout, reason = "a bench is for reading")]
fn say(line: &str) {
    println!("{line}");
}
