//! One run: a cluster, clients, watchers and faults for a minute; then everything heals and must work; then the evidence is
//! looked at.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use parking_lot::Mutex;
use proto::etcdserverpb::{HashKvRequest, maintenance_client::MaintenanceClient};
use std::sync::Arc;
use store::{Store, world::Planted};
use tokio::{runtime::RngSeed, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    cluster::{Cluster, LIMITS, Settings},
    disk::Wear,
    faults::{self, Injected, Schedule},
    history::{History, Told},
    invariants::{self, Evidence},
    network::Traversed,
    truth::Truth,
    watcher::{self, Log},
    workload::{Client, FIRST_CLIENT},
};

const CLIENTS: u64 = 4;
const WATCHERS: u64 = 2;
const FIRST_WATCHER: u64 = 2000;
/// How long faults are injected.
const TORMENT: Duration = Duration::from_secs(60);
/// How soon after the last fault everything works again.
const RECOVERY: Duration = Duration::from_secs(15);

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) operations: u64,
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) terms: u64,
    pub(crate) restarts: u64,
    pub(crate) resumed: u64,
    pub(crate) injected: Injected,
    /// How often a fault came upon another.
    pub(crate) overlaps: u64,
    pub(crate) traversed: Traversed,
    pub(crate) wear: Wear,
    /// Members that joined, and members that left.
    pub(crate) changes: (u64, u64),
    pub(crate) simulated: Duration,
    /// How many members the cluster began with.
    pub(crate) members: u64,
    /// For how long the run had a core.
    pub(crate) core: Duration,
    /// Of everything clients and watchers saw, and when.
    pub(crate) fingerprint: u64,
}

/// The faults that a seed stands for.
pub(crate) fn schedule_of(seed: u64) -> Schedule {
    faults::draw(&Chance::new(!seed), TORMENT)
}

/// Runs one seed with the faults given. An error names what was violated.
pub(crate) fn run(seed: u64, schedule: Schedule, planted: Option<Planted>) -> Result<Report, String> {
    let before = core_time();
    let report = in_simulated_time(seed, simulate(seed, schedule, planted))?;
    Ok(Report { core: core_time().saturating_sub(before), ..report })
}

/// For how long this thread has had a core.
fn core_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Runs on one thread, where time passes only when there is nothing else to do.
pub(crate) fn in_simulated_time<T>(seed: u64, simulation: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let seeded = builder.enable_time().start_paused(true).rng_seed(RngSeed::from_bytes(&seed.to_be_bytes()));
    seeded.build().expect("a runtime").block_on(simulation)
}

/// Looks again after each pause, in simulated time, until `check` is content. The last complaint is the error when it is not
/// within the limit.
pub(crate) async fn within(
    limit: Duration,
    pause: Duration,
    mut check: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    while let Err(complaint) = check().await {
        if Instant::now() > deadline {
            return Err(complaint);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub(crate) type Leaders = Arc<Mutex<BTreeMap<u64, Vec<u64>>>>;

async fn simulate(seed: u64, schedule: Schedule, planted: Option<Planted>) -> Result<Report, String> {
    let chance = Chance::new(seed);
    let started = Instant::now();
    let members = if chance.one_in(4) { 5 } else { 3 };
    let cluster = Cluster::create(&chance, Settings { members, limits: LIMITS, planted, tenant: None }).await;
    let _closing = cluster.net.closing();
    let (history, truth, leaders) = (History::default(), Truth::default(), Leaders::default());
    let stop = CancellationToken::new();
    let mut observers = JoinSet::new();
    observers.spawn(observe(cluster.clone(), ("k", "l"), truth.clone(), leaders.clone(), stop.clone()));
    let logs: Vec<Log> = (0..WATCHERS).map(|_| Log::default()).collect();
    for (at, log) in (FIRST_WATCHER..).zip(&logs) {
        observers.spawn(watcher::watch(cluster.clone(), chance.fork(), at, log.clone(), stop.clone()));
    }
    let stop_clients = CancellationToken::new();
    let mut clients = JoinSet::new();
    for id in 0..CLIENTS {
        let client = Client::new(&cluster, chance.fork(), history.clone(), id, started);
        clients.spawn(client.run(stop_clients.clone()));
    }
    let injected = faults::torment(cluster.clone(), schedule, TORMENT).await;
    let healed = started.elapsed();
    tokio::time::sleep(RECOVERY).await;
    stop_clients.cancel();
    while clients.join_next().await.is_some() {}
    let settled = settle(&cluster, &truth, &logs).await;
    stop.cancel();
    while observers.join_next().await.is_some() {}
    if let Some(failure) = cluster.failures().first() {
        return Err(failure.clone());
    }
    settled?;
    let evidence = Evidence {
        operations: history.all(),
        story: truth.story(),
        contradictions: truth.contradictions(),
        heard: logs.iter().map(Log::all).collect(),
        hashes: hashes(&cluster).await?,
        leaders: leaders.lock().clone(),
    };
    works_again(&evidence, healed)?;
    judge(&evidence)?;
    let report = report(&cluster, &evidence, injected, started.elapsed());
    Ok(Report { members, ..report })
}

/// Listens to every member that starts, and notes who leads.
pub(crate) async fn observe(
    cluster: Cluster,
    keys: (&'static str, &'static str),
    truth: Truth,
    leaders: Leaders,
    stop: CancellationToken,
) {
    let mut heard: BTreeMap<u64, u64> = BTreeMap::new();
    while !stop.is_cancelled() {
        for place in cluster.places() {
            let Some((generation, store)) = cluster.generation(place) else { continue };
            if heard.insert(place, generation) != Some(generation) {
                truth.listen(&store, place, keys);
            }
            let leadership = *store.leadership().borrow();
            if leadership.acting {
                let mut leaders = leaders.lock();
                let of_term = leaders.entry(leadership.term).or_default();
                if !of_term.contains(&place) {
                    of_term.push(place);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until all members have the same, and every watcher has heard of it.
async fn settle(cluster: &Cluster, truth: &Truth, logs: &[Log]) -> Result<(), String> {
    within(RECOVERY, Duration::from_millis(100), async || {
        let revisions: BTreeMap<u64, Option<i64>> = cluster
            .places()
            .into_iter()
            .map(|place| (place, cluster.member(place).as_ref().map(Store::status).map(|status| status.revision)))
            .collect();
        let last = truth.story().last();
        let reached: Vec<i64> = logs.iter().map(Log::reached).collect();
        if revisions.values().all(|revision| *revision == Some(last)) && reached.iter().all(|at| *at >= last) {
            return Ok(());
        }
        let behind = revisions.iter().filter(|(_, revision)| **revision != Some(last));
        let behind: Vec<_> = behind.filter_map(|(place, _)| cluster.member(*place).map(|store| store.status())).collect();
        Err(format!(
            "everybody catches up: long after everything healed, members are at {revisions:?}, watchers at {reached:?}, the last revision is {last}: {behind:?}"
        ))
    })
    .await
}

pub(crate) async fn hashes(cluster: &Cluster) -> Result<BTreeMap<u64, (i64, u32)>, String> {
    let mut hashes = BTreeMap::new();
    for place in cluster.places() {
        let mut client = MaintenanceClient::new(cluster.net.client(FIRST_CLIENT, place));
        let answer = client.hash_kv(HashKvRequest { revision: 0 }).await;
        let answer = answer.map_err(|status| format!("member {place} gives no hash: {status}"))?.into_inner();
        hashes.insert(place, (answer.header.map_or(0, |header| header.revision), answer.hash));
    }
    Ok(hashes)
}

/// After everything healed, every client gets answers again.
fn works_again(evidence: &Evidence, healed: Duration) -> Result<(), String> {
    // A request of before may have to run into its deadline first.
    let from = healed + RECOVERY / 2;
    for client in 0..CLIENTS {
        let answers = |told: &Told| !matches!(told, Told::Unknown | Told::Refused);
        let mut later = evidence.operations.iter().filter(|one| one.client == client && one.began >= from).peekable();
        if later.peek().is_none() || !later.all(|one| answers(&one.told)) {
            return Err(format!(
                "clients are served again: client {client} is not, after everything has healed at {healed:?}"
            ));
        }
    }
    Ok(())
}

fn judge(evidence: &Evidence) -> Result<(), String> {
    if let Some(gap) = evidence.story.gap() {
        return Err(format!("every revision is told of: nobody was heard to tell of {gap}"));
    }
    for (name, check) in invariants::ALL {
        check(evidence).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}

fn report(cluster: &Cluster, evidence: &Evidence, injected: Injected, simulated: Duration) -> Report {
    let told = |is: fn(&Told) -> bool| evidence.operations.iter().filter(|one| is(&one.told)).count() as u64;
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?} {:?}", evidence.operations, evidence.heard, evidence.hashes).hash(&mut hasher);
    Report {
        operations: evidence.operations.len() as u64,
        acknowledged: told(|told| matches!(told, Told::Written { .. })),
        unknown: told(|told| matches!(told, Told::Unknown)),
        terms: evidence.leaders.len() as u64,
        restarts: cluster.restarts(),
        resumed: evidence.heard.iter().flatten().filter(|heard| matches!(heard, watcher::Heard::Resumed(_))).count()
            as u64,
        injected,
        overlaps: cluster.overlaps(),
        traversed: cluster.net.traversed(),
        wear: cluster.wear(),
        changes: cluster.changes(),
        simulated,
        members: 0,
        core: Duration::ZERO,
        fingerprint: hasher.finish(),
    }
}
