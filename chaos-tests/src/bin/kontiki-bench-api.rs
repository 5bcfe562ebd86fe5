//! The second half of `make bench`: the Kubernetes API of one master and of three, beside a server that answers without work.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use chaos_tests::{
    bench::{
        api::{self, Endpoint, Operation},
        api_ceiling, api_pods,
        api_servers::{Ceiling, Masters},
        api_watchers, processes,
        table::{self, Run},
    },
    load::Figures,
};
use clap::Parser;

/// Runs of each load; the median is kept.
const RUNS: usize = 3;
/// Lists of each form; the median is kept.
const LISTS: usize = 5;
/// How long a cluster rests before its memory is looked at.
const REST: Duration = Duration::from_secs(60);

/// Measures the Kubernetes API beside the ceiling.
#[derive(Parser)]
struct Arguments {
    /// Seconds of each run
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The kontiki program
    #[arg(long, default_value = "target/release/kontiki")]
    kontiki: PathBuf,
    /// Measure only what has one of these words in its name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Serve as the ceiling on this port instead (used by the bench itself)
    #[arg(long, hide = true, requires = "pki")]
    ceiling: Option<u16>,
    /// Folder of the ceiling's certificates
    #[arg(long, hide = true)]
    pki: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (arguments.ceiling, &arguments.pki) {
        (Some(port), Some(pki)) => runtime.block_on(api_ceiling::serve(([127, 0, 0, 1], port).into(), pki)),
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

/// Servers under one load.
struct Side {
    endpoints: Vec<Endpoint>,
    pids: Vec<i32>,
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let together = LOADS.iter().map(|(name, _)| *name).chain([FAN_OUT, READY]);
    if together.into_iter().any(|name| arguments.wants(name)) {
        compared(arguments).await?;
    } else {
        say(FACTS_HEAD);
    }
    if arguments.wants(MEMORY) {
        let [one, three] = [at_rest(arguments, "1").await?, at_rest(arguments, "3").await?];
        say(&format!("| {MEMORY} | {one} | {three} |"));
    }
    if arguments.wants(UNWANTED) {
        say(&format!("| {UNWANTED} | {} | |", unwanted(arguments).await?));
    }
    if arguments.wants(LARGE) {
        for (what, figure) in large(arguments).await? {
            say(&format!("| {LARGE}: {what} | {figure} | |"));
        }
    }
    Ok(())
}

/// Loads on one master, on three, and on the ceiling.
async fn compared(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kontiki-bench-").tempdir_in(".")?;
    let one = Masters::start(&arguments.kontiki, &["--masters", "1", "--workers", "0"]).await?;
    let three = Masters::start(&arguments.kontiki, &["--workers", "0"]).await?;
    let ceiling = Ceiling::start(folder.path()).await?;
    for masters in [&one, &three] {
        api::fill(&masters.endpoints()[0]).await?;
    }
    // The processes are others afterwards.
    let young = if arguments.wants(READY) { Some(restarted(&one, &three).await?) } else { None };
    let sides = [
        Side { endpoints: one.endpoints().to_vec(), pids: one.pids() },
        Side { endpoints: three.endpoints().to_vec(), pids: three.pids() },
        Side { endpoints: ceiling.endpoints().to_vec(), pids: ceiling.pids() },
    ];
    say(HEAD);
    for (name, operation) in LOADS {
        if arguments.wants(name) {
            compare(name, operation, Duration::from_secs(arguments.seconds), &sides).await?;
        }
    }
    say(&format!("\n{FACTS_HEAD}"));
    if arguments.wants(FAN_OUT) {
        let [one, three] = [median_fan_out(&one).await?, median_fan_out(&three).await?].map(table::seconds);
        say(&format!("| {FAN_OUT} | {one} | {three} |"));
    }
    if let Some(young) = young {
        say(&format!("| {READY}, 500 objects | {young} |"));
        say(&format!("| {READY}, all objects of the loads above | {} |", restarted(&one, &three).await?));
    }
    Ok(())
}

/// Two cells of how long a master takes from its start until it is ready: a single one, and one of three.
async fn restarted(one: &Masters, three: &Masters) -> Result<String> {
    let (one, three) = (median_restart(one).await?, median_restart(three).await?);
    Ok(format!("{} | {}", table::seconds(one), table::seconds(three)))
}

/// What a watch costs whom no event concerns: how much more an update costs, for each selector.
async fn unwanted(arguments: &Arguments) -> Result<String> {
    let master = Masters::start(&arguments.kontiki, &["--masters", "1", "--workers", "0"]).await?;
    let (endpoints, pids) = (master.endpoints(), master.pids());
    api::fill(&endpoints[0]).await?;
    let duration = Duration::from_secs(arguments.seconds);
    let mut costs = [Duration::ZERO; 2];
    for (with, cost) in costs.iter_mut().enumerate() {
        let watches = if with == 1 { Some(api_watchers::bystanders(&endpoints[0]).await?) } else { None };
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(costed(&pids, api::run(Operation::Update, duration, endpoints)).await?);
        }
        *cost = table::median(runs).map_or(Duration::ZERO, |run| run.servers);
        drop(watches);
    }
    let more = costs[1].saturating_sub(costs[0]) / u32::try_from(api_watchers::SELECTORS)?;
    Ok(format!(
        "{:.2} µs ({} instead of {})",
        more.as_secs_f64() * 1e6,
        table::micros(costs[1]),
        table::micros(costs[0])
    ))
}

/// What a master does with many pods.
async fn large(arguments: &Arguments) -> Result<Vec<(String, String)>> {
    let master = Masters::start(&arguments.kontiki, &["--masters", "1", "--workers", "0"]).await?;
    let (endpoint, pid) = (&master.endpoints()[0], master.pids()[0]);
    let start = Instant::now();
    api_pods::fill(endpoint).await?;
    let rate = api_pods::PODS as f64 / start.elapsed().as_secs_f64();
    let mut rows = vec![("made".to_owned(), format!("{rate:.0}/s"))];
    let mut memory = processes::proportional_mebibytes(pid)?;
    rows.push(("memory of the master (PSS), at once".to_owned(), format!("{memory:.0} MiB")));
    tokio::time::sleep(REST).await;
    memory = processes::proportional_mebibytes(pid)?;
    rows.push(("the same a minute later".to_owned(), format!("{memory:.0} MiB")));
    let mut connection = endpoint.connect().await?;
    for (form, accept) in [("JSON", api::JSON), ("protobuf", api_pods::PROTOBUF)] {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..LISTS {
            let (time, size) = api_pods::list(&mut connection, accept).await?;
            times.push(time);
            bytes = size;
        }
        times.sort();
        let what = format!("a list of {} as {form}, {:.0} MiB", api_pods::LISTED, bytes as f64 / 1024.0 / 1024.0);
        rows.push((what, format!("{:.0} ms", times[LISTS / 2].as_secs_f64() * 1e3)));
    }
    Ok(rows)
}

/// Loads that are compared with the ceiling.
const LOADS: [(&str, Operation); 4] = [
    ("create", Operation::Create),
    ("get", Operation::Get),
    ("list of 500", Operation::List),
    ("update", Operation::Update),
];
const FAN_OUT: &str = "watch: 500 updates delivered to 100 watchers";
const READY: &str = "ready after its start";
const MEMORY: &str = "memory of a master (PSS), idle for a minute, two nodes";
const UNWANTED: &str =
    "an update that 1,000 watchers with 100 different selectors do not want: processor time more for each selector";
const LARGE: &str = "100,000 pods of 7 KiB";

const HEAD: &str = "| load, 1 KiB ConfigMaps, 16 connections | 1 master | 3 masters | ceiling | 1 master / ceiling | \
    processor time an operation: 1 master, 3 masters, ceiling, generator |\n|---|---|---|---|---|---|";
const FACTS_HEAD: &str = "| what | 1 master | 3 masters |\n|---|---|---|";

/// Runs a load on each side in turn, and prints its row.
async fn compare(name: &str, operation: Operation, duration: Duration, sides: &[Side; 3]) -> Result<()> {
    let mut runs = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (side, runs) in sides.iter().zip(&mut runs) {
            runs.push(costed(&side.pids, api::run(operation, duration, &side.endpoints)).await?);
        }
    }
    let [Some(one), Some(three), Some(ceiling)] = runs.map(table::median) else { return Ok(()) };
    let cells = [&one, &three].map(|run| table::cell(Some(&run.figures)));
    let costs = [one.servers, three.servers, ceiling.servers, one.generator].map(table::micros).join(", ");
    say(&format!(
        "| {name} | {} | {} | {:.0}/s | {:.2} | {costs} |",
        cells[0],
        cells[1],
        ceiling.figures.rate,
        one.figures.rate / ceiling.figures.rate
    ));
    Ok(())
}

/// Measures what a load costs the servers and this process.
async fn costed(pids: &[i32], load: impl Future<Output = Result<Figures>>) -> Result<Run> {
    let own = [i32::try_from(std::process::id())?];
    let before = (processes::processor_time(pids), processes::processor_time(&own));
    let figures = load.await?;
    let after = (processes::processor_time(pids), processes::processor_time(&own));
    Ok(Run::new(figures, after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)))
}

async fn median_fan_out(masters: &Masters) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.push(api_watchers::run(masters.endpoints()).await?);
    }
    times.sort();
    Ok(times[RUNS / 2])
}

async fn median_restart(masters: &Masters) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.push(masters.restart().await?);
    }
    times.sort();
    Ok(times[RUNS / 2])
}

/// The memory of each master after a rest.
async fn at_rest(arguments: &Arguments, masters: &str) -> Result<String> {
    let cluster = Masters::start(&arguments.kontiki, &["--masters", masters, "--workers", "2"]).await?;
    tokio::time::sleep(REST).await;
    let sizes = cluster.pids().into_iter().map(processes::proportional_mebibytes).collect::<Result<Vec<f64>>>()?;
    let (least, most) = sizes.iter().fold((f64::MAX, 0.0_f64), |(a, b), size| (a.min(*size), b.max(*size)));
    Ok(format!("{least:.0} to {most:.0} MiB"))
}

#[allow(clippy::print_stdout, reason = "a bench is for reading")]
fn say(line: &str) {
    println!("{line}");
}
