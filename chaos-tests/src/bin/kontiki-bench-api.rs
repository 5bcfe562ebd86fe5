//! The second half of `make bench`: the Kubernetes API of one master and of three, beside a server that answers without work.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use chaos_tests::{
    bench::{
        api::{self, Endpoint, Operation},
        api_ceiling,
        api_servers::{Ceiling, Masters},
        api_watchers, processes,
        table::{self, Run},
    },
    load::Figures,
};
use clap::Parser;

/// Runs of each load; the median is kept.
const RUNS: usize = 3;
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
    let folder = tempfile::Builder::new().prefix("kontiki-bench-").tempdir_in(".")?;
    let one = Masters::start(&arguments.kontiki, &["--masters", "1", "--workers", "0"]).await?;
    let three = Masters::start(&arguments.kontiki, &["--workers", "0"]).await?;
    let ceiling = Ceiling::start(folder.path()).await?;
    for masters in [&one, &three] {
        api::fill(&masters.endpoints()[0]).await?;
    }
    let sides = [
        Side { endpoints: one.endpoints().to_vec(), pids: one.pids() },
        Side { endpoints: three.endpoints().to_vec(), pids: three.pids() },
        Side { endpoints: ceiling.endpoints().to_vec(), pids: ceiling.pids() },
    ];
    say(HEAD);
    for (name, operation) in [
        ("create", Operation::Create),
        ("get", Operation::Get),
        ("list of 500", Operation::List),
        ("update", Operation::Update),
    ] {
        if arguments.wants(name) {
            compare(name, operation, Duration::from_secs(arguments.seconds), &sides).await?;
        }
    }
    say(&format!("\n{FACTS_HEAD}"));
    let fan_out = "watch: 500 updates delivered to 100 watchers";
    if arguments.wants(fan_out) {
        let [one, three] = [median_fan_out(&one).await?, median_fan_out(&three).await?].map(table::seconds);
        say(&format!("| {fan_out} | {one} | {three} |"));
    }
    let ready = "ready after its start";
    if arguments.wants(ready) {
        let (one, three) = (median_restart(&one).await?, median_restart(&three).await?);
        say(&format!("| {ready} | {} | {} |", table::seconds(one), table::seconds(three)));
    }
    drop((one, three, ceiling));
    let memory = "memory of a master (PSS), idle for a minute, two nodes";
    if arguments.wants(memory) {
        let [one, three] = [at_rest(arguments, "1").await?, at_rest(arguments, "3").await?];
        say(&format!("| {memory} | {one} | {three} |"));
    }
    Ok(())
}

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
