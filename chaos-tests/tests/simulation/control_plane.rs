//! The whole control plane: stores, API servers, controllers and scheduler of three masters or more, nodes and users around them.
//!
//! One run: trouble for a while; then everything heals, must reach the state that a cluster without trouble reaches, serve users
//! with nothing wrong any more, reach that state again and stay there; then the evidence is looked at.

mod client;
mod end_state;
mod evidence;
mod invariants;
mod journal;
mod lives;
pub(crate) mod master;
mod node;
mod routes;
mod seeds;
mod tale;
mod trouble;
mod watcher;
mod workload;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use api::surroundings::Planted;
use apiserver::{MASTERS, UserInfo};
use http::Method;
use store::{Limits, Store};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    cluster::{Cluster, Settings},
    network::{Place, Traversed},
    run::{Leaders, in_simulated_time, observe, within},
    truth::{Story, Truth},
};
use client::{Answer, Client};
use invariants::Evidence;
use journal::{Journal, Told};
use master::Masters;
use node::{FIRST_NODE, Nodes};
use tale::{ROOT, Tale};
use trouble::{Injected, Schedule, Victims};
use watcher::{Heard, Log};
use workload::User;

const USERS: u64 = 3;
const NODES: u64 = 3;
const FIRST_WATCHER: Place = 2000;
/// What is watched: a path, and how keys begin in the store.
const WATCHED: [(&str, &str); 3] = [
    ("/api/v1/configmaps", "configmaps/"),
    ("/api/v1/pods", "pods/"),
    ("/apis/apps/v1/replicasets", "apps/replicasets/"),
];
/// How long there is trouble.
const TORMENT: Duration = Duration::from_secs(30);
/// How soon after the last trouble everything is as it should be.
const RECOVERY: Duration = Duration::from_secs(90);
/// For how long users work then, with nothing wrong.
const CALM: Duration = Duration::from_secs(6);
/// For how long it stays so when they rest.
const STABLE: Duration = Duration::from_secs(6);
/// Large enough for what every cluster begins with, small enough for snapshots within a minute.
const LIMITS: Limits = Limits {
    checkpoint_bytes: 512 << 10,
    log_bytes_max: 2 << 20,
    log_bytes_keep: 256 << 10,
    quota_bytes: 1 << 30,
    segment_bytes_first: 64 << 10,
    segment_bytes_max: 512 << 10,
    log_cache_bytes: 256 << 10,
    disk_free_min_bytes: 48 << 10,
};
/// Every key of the store.
const EVERYTHING: (&str, &str) = ("\0", "\0");

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) calls: u64,
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) revisions: u64,
    pub(crate) pods: u64,
    /// How often a pod followed another of its name.
    pub(crate) successions: u64,
    /// How often a node's proxy led connections elsewhere, and how often of these while nothing was wrong.
    pub(crate) routed: (u64, u64),
    pub(crate) terms: u64,
    pub(crate) restarts: u64,
    pub(crate) resumed: u64,
    pub(crate) injected: Injected,
    /// How often a fault came upon another.
    pub(crate) overlaps: u64,
    pub(crate) traversed: Traversed,
    pub(crate) simulated: Duration,
    /// How long it took until everything was as it should be.
    pub(crate) recovered: Duration,
    /// Of everything that happened, and when.
    pub(crate) fingerprint: u64,
}

/// The trouble that a seed stands for.
pub(crate) fn schedule_of(seed: u64) -> Schedule {
    trouble::draw(&Chance::new(!seed), TORMENT)
}

/// Runs one seed with the trouble given. An error names what was violated.
pub(crate) fn run(seed: u64, schedule: Schedule, planted: Option<Planted>) -> Result<Report, String> {
    in_simulated_time(seed, simulate(seed, schedule, planted))
}

async fn simulate(seed: u64, schedule: Schedule, planted: Option<Planted>) -> Result<Report, String> {
    let chance = Chance::new(seed);
    let started = Instant::now();
    let masters = Masters::new(&chance, planted);
    let settings = Settings { members: 3, limits: LIMITS, planted: None, tenant: Some(masters.tenant()) };
    let cluster = Cluster::create(&chance, settings).await;
    let _closing = cluster.net.closing();
    let (truth, leaders, journal) = (Truth::default(), Leaders::default(), Journal::default());
    let stop = CancellationToken::new();
    let mut observers = JoinSet::new();
    observers.spawn(observe(cluster.clone(), EVERYTHING, truth.clone(), leaders.clone(), stop.clone()));
    until_ready(&cluster, &chance).await?;
    let nodes = Nodes::new(&cluster, &masters, chance.fork());
    (0..NODES).for_each(|node| nodes.start(FIRST_NODE + node));
    let logs = WATCHED.map(|_| Log::default());
    for (at, (log, (path, _))) in (FIRST_WATCHER..).zip(logs.iter().zip(WATCHED)) {
        let user = UserInfo::new("watcher", [MASTERS]);
        let client = Client::new(&cluster, chance.fork(), at, user, "watcher");
        observers.spawn(watcher::watch(client, chance.fork(), path, log.clone(), stop.clone()));
    }
    let user = |id| User::new(&cluster, chance.fork(), journal.clone(), id, started);
    let mut users: Vec<User> = (0..USERS).map(user).collect();
    let victims = Victims { cluster: cluster.clone(), masters, nodes };
    let (injected, healed) = work_during(&mut users, async {
        let injected = trouble::torment(&victims, schedule, TORMENT).await;
        (injected, started.elapsed())
    })
    .await;
    let settled = settle(&cluster, &truth, &victims.nodes).await;
    let calm = started.elapsed();
    let rests = if settled.is_ok() {
        work_during(&mut users, tokio::time::sleep(CALM)).await;
        rests(&cluster, &truth, &victims.nodes, &logs).await
    } else {
        Ok(())
    };
    stop.cancel();
    while observers.join_next().await.is_some() {}
    if let Some(failure) = cluster.failures().first() {
        return Err(failure.clone());
    }
    settled?;
    rests?;
    let story = truth.story();
    if let Some(contradiction) = truth.contradictions().first() {
        return Err(format!("members tell one story: {contradiction}"));
    }
    if let Some(gap) = story.gap() {
        return Err(format!("every revision is told of: nobody was heard to tell of {gap}"));
    }
    let heard = WATCHED.iter().zip(&logs).map(|((_, kind), log)| (*kind, log.all())).collect();
    let (lives, routes) = (victims.nodes.lives().all(), victims.nodes.routes().all());
    let evidence = Evidence { calls: journal.all(), tale: Tale::of(&story), heard, lives, routes, started, calm };
    for (name, check) in invariants::ALL {
        check(&evidence).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(report(&evidence, &story, &victims, (injected, calm - healed), leaders.lock().len() as u64))
}

/// What the run was like.
fn report(
    evidence: &Evidence,
    story: &Story,
    victims: &Victims,
    (injected, recovered): (Injected, Duration),
    terms: u64,
) -> Report {
    let (cluster, started) = (&victims.cluster, evidence.started);
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?}", evidence.calls, evidence.heard).hash(&mut hasher);
    let routes = evidence.routes.values().flatten();
    let led: Vec<_> = routes.map(|(at, to)| (*at - started, to)).collect();
    led.hash(&mut hasher);
    for (revision, changes) in &story.revisions {
        (revision, story.heard[revision] - started, format!("{changes:?}")).hash(&mut hasher);
    }
    let told = |is: fn(&Told) -> bool| evidence.calls.iter().filter(|call| is(&call.told)).count() as u64;
    Report {
        calls: evidence.calls.len() as u64,
        acknowledged: told(|told| matches!(told, Told::Done { .. })),
        unknown: told(|told| matches!(told, Told::Unknown)),
        refused: told(|told| matches!(told, Told::Refused(..))),
        revisions: story.revisions.len() as u64,
        pods: evidence.tale.of_kind("pods/").filter(|event| event.before.is_none()).count() as u64,
        successions: victims.nodes.lives().successions(),
        routed: (led.len() as u64, led.iter().filter(|(at, _)| *at >= evidence.calm).count() as u64),
        terms,
        restarts: cluster.restarts(),
        resumed: evidence
            .heard
            .iter()
            .flat_map(|(_, heard)| heard)
            .filter(|heard| matches!(heard, Heard::Resumed))
            .count() as u64,
        injected,
        overlaps: cluster.overlaps(),
        traversed: cluster.net.traversed(),
        simulated: started.elapsed(),
        recovered,
        fingerprint: hasher.finish(),
    }
}

/// Has all users work for as long as something takes; what is under way then is finished.
async fn work_during<T>(users: &mut Vec<User>, something: impl Future<Output = T>) -> T {
    let (stop, mut working) = (CancellationToken::new(), JoinSet::new());
    for mut user in users.drain(..) {
        let stop = stop.clone();
        working.spawn(async move {
            user.run(stop).await;
            user
        });
    }
    let outcome = something.await;
    stop.cancel();
    while let Some(user) = working.join_next().await {
        users.push(user.expect("a user's task does not break"));
    }
    outcome
}

/// Waits until every master answers as it should.
async fn until_ready(cluster: &Cluster, chance: &Chance) -> Result<(), String> {
    let client = Client::new(cluster, chance.fork(), FIRST_WATCHER - 1, UserInfo::new("probe", [MASTERS]), "probe");
    let mut ready = 0;
    within(RECOVERY, Duration::from_millis(100), async || {
        if ready >= 10 {
            return Ok(());
        }
        client.turn_away();
        ready = if matches!(client.send(Method::GET, "/readyz", None).await, Answer::Done(_)) { ready + 1 } else { 0 };
        Err("the masters do not become ready".to_owned())
    })
    .await
}

/// Waits until all members have the same, and it is what it should be.
async fn settle(cluster: &Cluster, truth: &Truth, nodes: &Nodes) -> Result<(), String> {
    within(RECOVERY, Duration::from_millis(250), async || {
        let members: Vec<Option<Store>> = cluster.places().into_iter().map(|place| cluster.member(place)).collect();
        let revisions: Vec<Option<i64>> =
            members.iter().map(|member| member.as_ref().map(|store| store.view().revision())).collect();
        let last = truth.last();
        let missing = match members.iter().flatten().next() {
            Some(store) if revisions.iter().all(|revision| *revision == Some(last)) => {
                end_state::missing(&store.view(), nodes)
            }
            _ => Err(format!("members are at {revisions:?}, the last revision is {last}")),
        };
        missing.map_err(|why| format!("controllers reach the end state: long after everything healed, {why}"))
    })
    .await
}

/// Comes to rest: nothing is written any more but signs of life, and everybody who watches has heard of everything.
async fn rests(cluster: &Cluster, truth: &Truth, nodes: &Nodes, logs: &[Log]) -> Result<(), String> {
    let lease = format!("{ROOT}coordination.k8s.io/leases/");
    let begun = Instant::now();
    // What was noted on the way here is still being written at first.
    within(RECOVERY, Duration::from_millis(500), async || {
        let story = truth.story();
        let last = story.revisions.iter().rev().find_map(|(revision, changes)| {
            let change = changes.iter().find(|change| !change.kv.key.starts_with(lease.as_bytes()))?;
            Some((*revision, String::from_utf8_lossy(&change.kv.key).into_owned()))
        });
        let (revision, key) = last.unwrap_or_default();
        let since = story.heard.get(&revision).map_or(begun, |written| begun.max(*written));
        if since.elapsed() >= STABLE {
            return Ok(());
        }
        Err(format!("the end state is stable: {key} was still written at {revision}"))
    })
    .await?;
    settle(cluster, truth, nodes).await?;
    let story = truth.story();
    let last = |kind: &str| {
        let of_kind = |changes: &[crate::truth::Change]| {
            changes.iter().any(|change| change.kv.key.starts_with(format!("{ROOT}{kind}").as_bytes()))
        };
        story.revisions.iter().rev().find(|(_, changes)| of_kind(changes)).map_or(0, |(revision, _)| *revision)
    };
    within(RECOVERY, Duration::from_millis(100), async || {
        let behind = WATCHED.iter().zip(logs).find(|((_, kind), log)| log.reached() < last(kind));
        let Some(((_, kind), log)) = behind else { return Ok(()) };
        Err(format!("a watcher of {kind} has heard up to {} only, of {}", log.reached(), last(kind)))
    })
    .await
}
