//! One run from its beginning to its verdict: prepare, inject, heal, collect, judge, report.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use tokio::{task::block_in_place, time::sleep};

use super::{
    cluster,
    drive::{Done, Driver},
    evidence::{Evidence, Injected, Written, rebooted},
    faults::Fault,
    guard::Guard,
    observer::Observer,
    oracles,
    plan::Plan,
    preflight,
    probes::{Probed, Prober},
    record,
    registers::Registers,
    report::Report,
    service::{Asked, Service},
    session::Session,
    upgrade,
    watchers::{Heard, Watchers},
    workload::{Ended, Workload},
    writer::{History, Writer},
};
use crate::{cli::RunArgs, shutdown, up::cluster::Cluster};

/// Writes of each writer that show that writing works, before the first fault.
const WARM_UP_WRITES: usize = 20;
const WARM_UP_PATIENCE: Duration = Duration::from_secs(20);
/// How long watchers may take to hear of the last change.
const WATCH_PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs; true when every promise was kept.
pub(crate) async fn run(args: &RunArgs, say: &mut dyn FnMut(&str)) -> Result<bool> {
    // Mistakes on the command line are told even where there is no cluster.
    let known = Cluster::load(&args.folder.dir)?;
    let plan = Plan::read(args, known.as_ref(), Fault::machine_lacks, || u64::from(rand::random::<u32>()))?;
    let cluster = cluster(&args.folder.dir)?;
    preflight::programs(&plan.faults())?;
    let program = upgrade::program(args.upgrade_to.as_deref()).await?;
    preflight::writable(args.junit.iter().chain(&args.summary).chain(&args.report))?;
    let held = preflight::take(&cluster, say)?;
    let began = jiff::Timestamp::now();
    // A killed run's namespace may still be on its way out: a run that follows at once needs another name.
    let session = Session::open(&cluster, began.as_millisecond()).await?;
    let observer = session.observe(&cluster);
    preflight::healthy(&cluster, &observer, &session.kube).await?;
    session.clean_up().await?;
    say(&format!(
        "seed {}: {} faults in {} s; the same again:\n  {}",
        plan.seed,
        plan.schedule.len(),
        plan.length.as_secs(),
        plan.repeat
    ));
    let stop = shutdown::on_signal();
    let clients = Clients::start(&cluster, &session, &plan).await;
    let (clients, before) = match clients {
        Ok(clients) => (clients, (session.containers().await?, session.nodes().await?)),
        Err(error) => {
            session.clean_up().await?;
            return Err(error);
        }
    };
    let epoch = Instant::now();
    let safety = Safety { _held: held, _guard: Guard::start(&cluster)? };
    let driver = Driver {
        cluster: &cluster,
        access: &session.access,
        observer: &observer,
        epoch,
        stop: stop.clone(),
        program,
        kube: &session.kube,
        done: Mutex::new(Done::default()),
    };
    let driven = driver.run(&plan.schedule, say).await;
    drop(safety);
    let rest = (epoch + plan.length).saturating_duration_since(Instant::now());
    tokio::select! { () = sleep(rest) => {}, () = stop.cancelled() => {} }
    let length = epoch.elapsed();
    let mut troubles: Vec<String> = driven.err().map(|error| format!("{error:#}")).into_iter().collect();
    if stop.is_cancelled() && troubles.is_empty() {
        troubles.push("it was interrupted".into());
    }
    let injected = std::mem::take(&mut driver.done.lock().injected);
    let collected = collect(&session, &observer, clients, injected, (epoch, length), &plan).await;
    let cleaned = session.clean_up().await;
    let mut evidence = collected.context("the cluster was healed, but the run cannot be judged")?;
    cleaned?;
    (evidence.containers.0, evidence.nodes.0) = before;
    evidence.troubles = troubles;
    report(args, &plan, &evidence, &cluster, began, say)
}

/// The cluster is let go before the guard looks: where something could not be healed, the guard tries again.
struct Safety {
    _held: record::Hold,
    _guard: Guard,
}

/// Everything that uses the cluster while faults come and go.
struct Clients {
    watchers: Watchers,
    etcd: Writer,
    api: Writer,
    registers: Registers,
    service: Option<Service>,
    probers: Vec<Prober>,
    workload: Option<Workload>,
}

impl Clients {
    /// Starts them, and waits until all are served.
    async fn start(cluster: &Cluster, session: &Session, plan: &Plan) -> Result<Self> {
        let masters: Vec<(String, String)> =
            cluster.masters().map(|host| (host.name.clone(), host.address.to_string())).collect();
        let watchers = session.watch().await?;
        let service = Service::start(session, cluster).await?;
        let clients = Self {
            watchers,
            etcd: Writer::through_etcd(&cluster.dir, &masters, &session.place)?,
            api: Writer::through_kubeconfig(&cluster.dir, &session.place)?,
            registers: Registers::start(&session.access, &session.urls, &session.place.prefix, plan.seed),
            service,
            probers: plan.probes.iter().map(|probe| Prober::start(probe.clone(), cluster)).collect::<Result<_>>()?,
            workload: plan.workload.as_deref().map(|command| Workload::start(command, cluster)).transpose()?,
        };
        let deadline = Instant::now() + WARM_UP_PATIENCE;
        while clients.etcd.acknowledged().min(clients.api.acknowledged()) < WARM_UP_WRITES {
            ensure!(
                Instant::now() < deadline,
                "the cluster takes no writes ({} and {} in {} s), so nothing was injected",
                clients.etcd.acknowledged(),
                clients.api.acknowledged(),
                WARM_UP_PATIENCE.as_secs()
            );
            sleep(PAUSE).await;
        }
        preflight::probes_succeed(&clients.probers).await?;
        if let Some(service) = &clients.service {
            preflight::probes_succeed(service.clients()).await.context("the run's own Service does not answer")?;
        }
        Ok(clients)
    }

    /// Ends all but the watchers. A probe that fails still has the time that it is allowed to recover.
    async fn finish(self, outage_max: Duration) -> Result<Finished> {
        let deadline = Instant::now() + outage_max;
        while Instant::now() < deadline && self.probers.iter().any(|prober| preflight::last_look(prober).is_err()) {
            sleep(PAUSE).await;
        }
        let operations = self.registers.finish().await;
        let Self { watchers, etcd, api, service, probers, workload, .. } = self;
        // Threads are joined: each looks at its flag after the request that it has under way.
        block_in_place(|| {
            Ok(Finished {
                watchers,
                etcd: etcd.finish(),
                api: api.finish(),
                operations,
                service: service.map(Service::finish),
                probes: probers.into_iter().map(Prober::finish).collect(),
                workload: workload.map(Workload::finish).transpose()?,
            })
        })
    }
}

struct Finished {
    watchers: Watchers,
    etcd: History,
    api: History,
    operations: Vec<super::registers::Operation>,
    service: Option<Asked>,
    probes: Vec<Probed>,
    workload: Option<Ended>,
}

/// Ends the clients and reads what is there now.
async fn collect(
    session: &Session,
    observer: &Observer,
    clients: Clients,
    injected: Vec<Injected>,
    (epoch, length): (Instant, Duration),
    plan: &Plan,
) -> Result<Evidence> {
    let clients = clients.finish(plan.limits.outage).await?;
    let last = session.end_marks().await?;
    let heard: Vec<Heard> = clients.watchers.finish(last, WATCH_PATIENCE).await;
    let (keys, revision) = session.keys().await?;
    let objects = session.objects().await?;
    let (leaders, claims) = observer.story();
    let containers = session.containers_again(&rebooted(&injected)).await?;
    Ok(Evidence {
        epoch,
        length,
        writers: vec![
            Written { name: "etcd port", history: clients.etcd, found: keys },
            Written { name: "Kubernetes API", history: clients.api, found: objects },
        ],
        operations: clients.operations,
        heard,
        leaders,
        claims,
        injected,
        hashes: session.hashes(revision).await,
        containers: (Default::default(), containers),
        nodes: (Default::default(), session.nodes().await?),
        service: clients.service,
        probes: clients.probes,
        workload: clients.workload,
        troubles: Vec::new(),
        limits: plan.limits,
        size: plan.size,
    })
}

/// Judges, tells, and writes the files.
fn report(
    args: &RunArgs,
    plan: &Plan,
    evidence: &Evidence,
    cluster: &Cluster,
    began: jiff::Timestamp,
    say: &mut dyn FnMut(&str),
) -> Result<bool> {
    let findings = oracles::judge(evidence);
    let (masters, workers) = (cluster.masters().count(), cluster.workers().count());
    let report = Report {
        evidence,
        findings: &findings,
        seed: plan.seed,
        repeat: &plan.repeat,
        began,
        cluster: format!("{masters} masters, {workers} workers"),
    };
    if let Some(path) = &args.junit {
        report.write_junit(path)?;
    }
    if let Some(path) = &args.summary {
        report.write_summary(path)?;
    }
    if let Some(path) = &args.report {
        report.write_html(path)?;
    }
    report.lines().iter().for_each(|line| say(line));
    Ok(report.passed())
}
