//! The loop around the cycles: feeds the snapshot, takes pods off the queue, writes bindings.
//!
//! The snapshot is fed on every master, acting or not, so that a new leader decides at once. Cycles run one after
//! another and take microseconds; bindings run many at a time, and a pod counts on its node from the decision on.

use std::sync::Arc;
use std::time::Duration;

use api::surroundings::{Planted, Surroundings};
use client::cache::{Change as CacheChange, Entry};
use client::event_recorder::{Note, Severity};
use client::{Cache, EventRecorder, Key, Resource, Selection, Source};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodSpec};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cycle::{Decision, Unschedulable, schedule};
use crate::facts;
use crate::plugin::Candidate;
use crate::queue::{Queue, Queued};
use crate::snapshot::{NodeFacts, Placed, PodFacts, Snapshot};

mod changes;
mod writes;

/// Gives a client whose writes are refused unless the given term is the current one.
pub type ClientFactory = Arc<dyn Fn(u64) -> kube::Client + Send + Sync>;

const PODS: Resource = Resource::new("", "v1", "pods");
const NODES: Resource = Resource::new("", "v1", "nodes");
/// One group commit of the store takes them all; more would only wait there.
const BINDINGS_MAX: usize = 64;
/// After a task broke: not in a tight loop.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Everything [`run`] needs.
pub struct Config {
    /// Feeds the snapshot.
    pub source: Arc<dyn Source>,
    /// For acting.
    pub client_for: ClientFactory,
    /// The term this member acts under, while it does.
    pub leadership: watch::Receiver<Option<u64>>,
    /// The name of this master, as the source of Events.
    pub host: String,
    /// The time of day and chance.
    pub surroundings: Surroundings,
}

type Pods = Cache<Option<Arc<PodFacts>>>;
type Nodes = Cache<Option<Arc<NodeFacts>>>;

/// What the feed and the loop share.
struct Shared {
    state: Mutex<State>,
    /// The queue may have something.
    wake: Notify,
    surroundings: Surroundings,
}

#[derive(Default)]
struct State {
    snapshot: Snapshot,
    queue: Queue,
}

/// Schedules pods until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) {
    let shared =
        Arc::new(Shared { state: Mutex::default(), wake: Notify::new(), surroundings: config.surroundings.clone() });
    let pods: Pods = Cache::new(Selection::all(PODS), |object| facts::pod(object).map(Arc::new));
    let nodes: Nodes = Cache::new(Selection::all(NODES), |object| facts::node(object).map(Arc::new));
    let (of_pods, of_nodes) = (shared.clone(), shared.clone());
    let _subscriptions = (
        pods.subscribe(move |change| changes::pod(&of_pods, change)),
        nodes.subscribe(move |change| changes::node(&of_nodes, change)),
    );
    let mut feeds = JoinSet::new();
    feeds.spawn(pods.clone().run(config.source.clone(), shutdown.clone()));
    feeds.spawn(nodes.clone().run(config.source.clone(), shutdown.clone()));
    let mut leadership = config.leadership.clone();
    loop {
        let term = *leadership.borrow_and_update();
        let acting = async {
            match term {
                Some(term) => act(&config, &shared, (&pods, &nodes), term).await,
                None => std::future::pending().await,
            }
        };
        // Dropping `acting` drops its bindings: nothing is written under an old term any more.
        tokio::select! {
            () = acting => tokio::time::sleep(RESTART_PAUSE).await,
            changed = leadership.changed() => if changed.is_err() { break },
            () = shutdown.cancelled() => break,
        }
        shared.state.lock().snapshot.forget_all();
    }
    shutdown.cancelled().await;
    while feeds.join_next().await.is_some() {}
}

/// One pod's way from the queue to its node.
struct Job {
    queued: Queued,
    decision: Decision,
    about: ObjectReference,
}

/// Acts under `term`; returns only when a task broke.
async fn act(config: &Config, shared: &Arc<Shared>, (pods, nodes): (&Pods, &Nodes), term: u64) {
    // What the last leader bound must count before anything is placed beside it.
    tokio::join!(pods.relist(), nodes.relist());
    tracing::info!(term, "the scheduler begins to act");
    let client = (config.client_for)(term);
    let (recorder, writer) = EventRecorder::new("default-scheduler", &config.host);
    let writer = writer.surrounded_by(config.surroundings.clone());
    let mut helpers = JoinSet::new();
    helpers.spawn(writer.run(client.clone(), CancellationToken::new()));
    {
        let mut state = shared.state.lock();
        state.queue = Queue::default();
        for entry in pods.list() {
            changes::enqueue(&mut state.queue, &entry);
        }
    }
    let mut writes = JoinSet::new();
    loop {
        while writes.len() < BINDINGS_MAX {
            let Some(outcome) = next(shared, pods) else { break };
            let (client, recorder, shared) = (client.clone(), recorder.clone(), shared.clone());
            writes.spawn(async move { settle(&client, &recorder, &shared, outcome).await });
        }
        let next_wake = shared.state.lock().queue.next_wake();
        tokio::select! {
            Some(written) = writes.join_next() => if let Err(error) = written {
                tracing::error!(%error, "a binding broke; the scheduler starts again");
                return;
            },
            () = shared.wake.notified() => {}
            () = until(next_wake) => {}
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What became of a pod's cycle, to be written.
enum Outcome {
    Bind(Job),
    Explain { queued: Queued, about: ObjectReference, pod: Box<Pod>, why: Unschedulable },
}

/// Runs cycles until one has something to write. Synchronous: the snapshot does not move below it.
fn next(shared: &Shared, pods: &Pods) -> Option<Outcome> {
    loop {
        let mut state = shared.state.lock();
        let queued = state.queue.pop(Instant::now())?;
        let Some(entry) = pods.get(&queued.key).filter(|entry| *entry.object.header().uid == *queued.uid) else {
            state.queue.remove(&queued.uid);
            continue;
        };
        let (Some(facts), Ok(pod)) = (entry.projection.clone(), entry.decode::<Pod>()) else {
            state.queue.remove(&queued.uid);
            continue;
        };
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let candidate = Candidate { uid: &queued.uid, placed: placed(&entry, facts), spec };
        let about = reference(&entry);
        match schedule(&candidate, &state.snapshot, shared.surroundings.random()) {
            Ok(decision) => {
                let Candidate { placed, .. } = candidate;
                state.snapshot.assume(&queued.uid, &decision.node, placed);
                return Some(Outcome::Bind(Job { queued, decision, about }));
            }
            Err(why) => {
                state.queue.refuse(&queued.uid, why.plugins.clone(), Instant::now());
                return Some(Outcome::Explain { queued, about, pod: Box::new(pod), why });
            }
        }
    }
}

async fn settle(client: &kube::Client, recorder: &EventRecorder, shared: &Shared, outcome: Outcome) {
    match outcome {
        Outcome::Bind(job) => bind(client, recorder, shared, job).await,
        Outcome::Explain { queued, about, pod, why } => {
            let message = why.to_string();
            let written = writes::explain(client, &queued.key, &pod, &message, shared.surroundings.now()).await;
            if let Err(error) = written {
                tracing::debug!(key = %queued.key, %error, "the condition of a waiting pod was not written");
            }
            let reason = "FailedScheduling".to_owned();
            recorder.record(Note { about, severity: Severity::Warning, reason, message });
        }
    }
}

async fn bind(client: &kube::Client, recorder: &EventRecorder, shared: &Shared, job: Job) {
    let Job { queued, decision, about } = job;
    let key = &queued.key;
    match writes::bind(client, key, &queued.uid, &decision.node).await {
        Ok(()) => {
            tracing::debug!(%key, node = %decision.node, score = decision.score, feasible = decision.feasible, "bound");
            let message = format!("Successfully assigned {key} to {}", decision.node);
            let reason = "Scheduled".to_owned();
            recorder.record(Note { about, severity: Severity::Normal, reason, message });
            if shared.surroundings.has(Planted::BindAgain) {
                let mut state = shared.state.lock();
                state.snapshot.forget(&queued.uid);
                state.queue.retry(&queued.uid, Instant::now());
            }
        }
        Err(error) => {
            tracing::debug!(%key, node = %decision.node, %error, "a binding failed");
            let mut state = shared.state.lock();
            state.snapshot.forget(&queued.uid);
            match writes::verdict(&error) {
                // The cache will say so too.
                writes::Verdict::Settled => state.queue.remove(&queued.uid),
                writes::Verdict::Retry => state.queue.retry(&queued.uid, Instant::now()),
            }
            drop(state);
            shared.wake.notify_one();
        }
    }
}

fn placed(entry: &Entry<Option<Arc<PodFacts>>>, facts: Arc<PodFacts>) -> Placed {
    let header = entry.object.header();
    Placed { namespace: header.namespace.clone(), labels: header.labels.clone().into(), facts }
}

fn reference(entry: &Entry<Option<Arc<PodFacts>>>) -> ObjectReference {
    let header = entry.object.header();
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(header.namespace.to_string()),
        name: Some(header.name.to_string()),
        uid: Some(header.uid.to_string()),
        resource_version: Some(entry.object.revision().to_string()),
        ..ObjectReference::default()
    }
}

/// Whether a change is of a pod that waits for this scheduler.
fn waits(entry: &Entry<Option<Arc<PodFacts>>>) -> bool {
    entry
        .projection
        .as_ref()
        .is_some_and(|facts| facts.node.is_empty() && facts.ours && !facts.finished && !facts.deleting && !facts.gated)
}

type PodChange = CacheChange<Option<Arc<PodFacts>>>;
type NodeChange = CacheChange<Option<Arc<NodeFacts>>>;
type PodEntry = Entry<Option<Arc<PodFacts>>>;

fn key_and_uid(entry: &PodEntry) -> (Key, &str) {
    (Key::of(&entry.object), &entry.object.header().uid)
}
