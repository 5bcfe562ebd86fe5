//! Runs the controllers: thin, and the only place that waits.
//!
//! Caches are fed on every master. While this one acts, each controller has a queue of keys and a few workers; a key is
//! held by one worker at a time, comes back with back-off when its plan failed, and is not reconciled again before its
//! own writes are visible in the cache ([`expectations`]). When the leadership changes, everything is dropped at once
//! and begun anew under the new term: all state that matters is in the cluster.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use api::surroundings::{Planted, Surroundings};
use client::work_queue::BackOff;
use client::{EventRecorder, Key, Resource, Source, WorkQueue};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::ALL;
use crate::caches::{Cached, Caches};
use crate::cidr::Cidr;
use crate::plan::Plan;

mod apply_plan;
mod expectations;
mod worker;

pub use apply_plan::Failure;

/// Gives a client whose writes are refused unless the given term is the current one.
pub type ClientFactory = Arc<dyn Fn(u64) -> kube::Client + Send + Sync>;

/// The local clock is read this often; a jump means that this process stood still.
const TICK: Duration = Duration::from_millis(500);
const STOOD_STILL: Duration = Duration::from_secs(2);
/// Listing the local replica takes milliseconds.
const CATCH_UP: Duration = Duration::from_secs(5);
/// After a worker broke: not in a tight loop.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Everything [`run`] needs.
pub struct Config {
    /// Feeds the caches.
    pub source: Arc<dyn Source>,
    /// For discovery, on every master.
    pub reader: kube::Client,
    /// For acting.
    pub client_for: ClientFactory,
    /// The term this member acts under, while it does.
    pub leadership: watch::Receiver<Option<u64>>,
    /// The name of this master, as the source of Events.
    pub host: String,
    /// What an operator may choose.
    pub settings: Settings,
    /// The time of day and chance.
    pub surroundings: Surroundings,
}

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ranges pods get their addresses from: one, or one of each family. With the prefix of a node's part.
    pub cluster_cidrs: Vec<(Cidr, u8)>,
    /// What pods trust: the authority of the API servers, PEM. Empty: not published.
    pub root_ca_pem: String,
    /// Without a renewed lease for this long, a node is unreachable.
    pub node_grace: Duration,
    /// Pods that do not say how long they tolerate a dead node are evicted after this.
    pub eviction_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_cidrs: Vec::new(),
            root_ca_pem: String::new(),
            node_grace: Duration::from_secs(10),
            eviction_after: Duration::from_secs(30),
        }
    }
}

/// A controller: what wakes it, and what it does then.
pub struct Controller {
    /// As in the table of the crate.
    pub name: &'static str,
    /// The source its Events name, as upstream.
    pub component: &'static str,
    /// How many keys at a time.
    pub workers: usize,
    /// What wakes it.
    pub watches: &'static [Watch],
    /// Collects the view of a key and calls the pure function.
    pub reconcile: fn(&Context<'_>, &Item) -> Plan,
}

/// Which changes wake which keys.
pub struct Watch {
    /// Of one resource, or of every one.
    pub resource: Option<Resource>,
    /// The keys that a change touches.
    pub keys: Touched,
}

/// Names the keys that a change touches.
pub type Touched = fn(&Occurrence<'_>, &mut dyn FnMut(Item));

/// A key of a controller's queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Most controllers have one resource only.
    pub resource: Resource,
    /// Which object.
    pub key: Key,
}

/// A change of an object.
pub struct Occurrence<'a> {
    /// All caches.
    pub caches: &'a Caches,
    /// Of which resource.
    pub resource: &'a Resource,
    /// Which object.
    pub key: &'a Key,
    /// What was there.
    pub before: Option<&'a Cached>,
    /// What is there now.
    pub after: Option<&'a Cached>,
}

impl<'a> Occurrence<'a> {
    /// The object as it was and as it is.
    pub fn both(&self) -> impl Iterator<Item = &'a Cached> {
        self.before.into_iter().chain(self.after)
    }
}

/// What surrounds one reconcile. Time and chance are data.
pub struct Context<'a> {
    /// What the cluster looks like.
    pub caches: &'a Caches,
    /// Where a bug on purpose is planted.
    pub surroundings: &'a Surroundings,
    /// What an operator chose.
    pub settings: &'a Settings,
    /// The time of day.
    pub now: Timestamp,
    /// The monotonic clock.
    pub instant: Instant,
    /// Since when this process has been watching without a gap.
    pub watching_since: Instant,
    /// For names.
    pub seed: u64,
    /// Why the last plan of this key failed.
    pub last_failure: Option<Failure>,
}

/// Everything that lives as long as one term of acting.
struct Acting {
    caches: Caches,
    settings: Settings,
    surroundings: Surroundings,
    client: kube::Client,
    watching_since: Mutex<Instant>,
}

/// Runs all controllers until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) {
    let caches = Caches::new();
    let mut feeds = JoinSet::new();
    feeds.spawn(caches.clone().run(config.source.clone(), config.reader.clone(), shutdown.clone()));
    let mut leadership = config.leadership.clone();
    loop {
        let term = *leadership.borrow_and_update();
        let acting = async {
            match term {
                Some(term) => act(&config, &caches, term).await,
                None => std::future::pending().await,
            }
        };
        // Dropping `acting` drops its workers and their requests: nothing is written under an old term any more.
        tokio::select! {
            () = acting => tokio::time::sleep(RESTART_PAUSE).await,
            changed = leadership.changed() => if changed.is_err() { break },
            () = shutdown.cancelled() => break,
        }
    }
    shutdown.cancelled().await;
    while feeds.join_next().await.is_some() {}
}

/// Acts under `term`; returns only when a worker broke.
async fn act(config: &Config, caches: &Caches, term: u64) {
    if !config.surroundings.has(Planted::ActByOldCaches) {
        catch_up(caches).await;
    }
    tracing::info!(term, "controllers begin to act");
    let client = (config.client_for)(term);
    let watching_since = Mutex::new(Instant::now());
    let settings = config.settings.clone();
    let surroundings = config.surroundings.clone();
    let acting = Acting { caches: caches.clone(), settings, surroundings, client: client.clone(), watching_since };
    let acting = Arc::new(acting);
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_the_clock(acting.clone()));
    let mut queues = Vec::new();
    for controller in ALL {
        let (recorder, writer) = EventRecorder::new(controller.component, &config.host);
        let writer = writer.surrounded_by(config.surroundings.clone());
        tasks.spawn(writer.run(client.clone(), CancellationToken::new()));
        let queue = WorkQueue::new(BackOff::default());
        let runner = worker::Runner::new(controller, acting.clone(), queue.clone(), recorder);
        tasks.spawn(runner.run());
        queues.push((*controller, queue));
    }
    tasks.spawn(route(caches.clone(), queues));
    if let Some(Err(error)) = tasks.join_next().await {
        tracing::error!(%error, "a controller broke; all are started again");
    }
}

/// What the last leader did must be visible before anything is decided: else it would be done twice.
async fn catch_up(caches: &Caches) {
    let relists = caches.all().into_iter().map(|(resource, cache)| async move {
        // A resource that is not served is never listed; a controller that needs it waits by itself.
        if cache.has_synced() && timeout(CATCH_UP, cache.relist()).await.is_err() {
            tracing::warn!(%resource, "could not be listed anew in time");
        }
    });
    futures_util::future::join_all(relists).await;
}

/// Brings every change to the queues that want it, also of resources that appear later.
async fn route(caches: Caches, queues: Vec<(&'static Controller, WorkQueue<Item>)>) {
    let mut grown = caches.grown();
    let mut subscriptions = std::collections::BTreeMap::new();
    loop {
        grown.mark_unchanged();
        for (resource, cache) in caches.all() {
            if subscriptions.contains_key(&resource) {
                continue;
            }
            let routes = Arc::new(Routes::of(&resource, &caches, &queues));
            let routed = routes.clone();
            let subscription = cache.subscribe(move |change| {
                routed.dispatch(&change.key, change.before.as_ref(), change.after.as_ref());
            });
            for entry in cache.list() {
                routes.dispatch(&Key::of(&entry.object), None, Some(&entry));
            }
            subscriptions.insert(resource, subscription);
        }
        if grown.changed().await.is_err() {
            return;
        }
    }
}

/// Where the changes of one resource go: found once, since every change of every object of the cluster comes by.
struct Routes {
    caches: Caches,
    resource: Resource,
    watches: Vec<(Touched, WorkQueue<Item>)>,
}

impl Routes {
    fn of(resource: &Resource, caches: &Caches, queues: &[(&'static Controller, WorkQueue<Item>)]) -> Self {
        let wanted = |watch: &&Watch| watch.resource.as_ref().is_none_or(|wanted| wanted == resource);
        let watches = queues.iter().flat_map(|(controller, queue)| {
            controller.watches.iter().filter(wanted).map(|watch| (watch.keys, queue.clone()))
        });
        Self { caches: caches.clone(), resource: resource.clone(), watches: watches.collect() }
    }

    fn dispatch(&self, key: &Key, before: Option<&Cached>, after: Option<&Cached>) {
        let occurrence = Occurrence { caches: &self.caches, resource: &self.resource, key, before, after };
        for (keys, queue) in &self.watches {
            keys(&occurrence, &mut |item| queue.add(item));
        }
    }
}

/// A process that stood still has heard no lease being renewed, and must not conclude that nobody renewed one.
async fn watch_the_clock(acting: Arc<Acting>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        let now = Instant::now();
        if now.duration_since(last) > STOOD_STILL {
            tracing::warn!(gap = ?now.duration_since(last), "this process stood still");
            *acting.watching_since.lock() = now;
        }
        last = now;
    }
}

impl Item {
    /// An object as a key.
    pub fn new(resource: Resource, key: Key) -> Self {
        Self { resource, key }
    }
}

/// Wakes the object itself.
pub(crate) fn itself(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    wake(Item::new(occurrence.resource.clone(), occurrence.key.clone()));
}

/// Wakes the controller of the object, of the given kind.
pub(crate) fn controller_of(occurrence: &Occurrence<'_>, kind: &str, resource: &Resource, wake: &mut dyn FnMut(Item)) {
    for entry in occurrence.both() {
        let owners = entry.object.header().owner_references.iter();
        for owner in owners.filter(|owner| owner.controller && &*owner.kind == kind) {
            wake(Item::new(resource.clone(), Key::new(occurrence.key.namespace.clone(), &*owner.name)));
        }
    }
}

/// The path of an object or of one of its subresources.
fn object_path(resource: &Resource, key: &Key, subresource: &str) -> String {
    let slash: Cow<'_, str> = if subresource.is_empty() { "".into() } else { format!("/{subresource}").into() };
    format!("{}/{}{slash}", resource.path(&key.namespace), key.name)
}
