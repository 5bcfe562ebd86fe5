//! A master above its store: API server, controllers and scheduler, put together as the product does it.
//!
//! Controllers and scheduler call their own master's API server by function, under the term that it leads under; what they see
//! comes from its replica, later than it was there if a fault says so.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use api::surroundings::{Planted, Surroundings};
use apiserver::{ApiServer, Connection, Fence, NodeDialer, UserInfo};
use async_trait::async_trait;
use axum::body::Body;
use client::{Identity, Selection, Source, SourceEvent};
use futures_util::{StreamExt, stream, stream::BoxStream};
use http::{HeaderValue, Request, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use rcgen::KeyPair;
use store::world::Hold;
use tokio::{sync::watch, time::Instant};
use tonic::service::Routes;
use tower::ServiceExt;

use crate::{
    chance::Chance,
    cluster::{Process, Tenant},
    network::{Net, Place},
};

/// The day on which every run begins.
const BEGINNING: i64 = 1_900_000_000;
/// Clocks of masters differ by up to so much either way.
const SKEW: Duration = Duration::from_millis(1500);
/// A node that is silent for so long is given up, and its pods soon after.
const NODE_GRACE: Duration = Duration::from_secs(8);
const EVICTION_AFTER: Duration = Duration::from_secs(4);
/// An event reaches a cache within this time, if nothing is wrong.
const USUAL_LAG_MS: u64 = 40;
/// Events of a cache under way at once.
const UNDER_WAY_MAX: usize = 4096;

/// Signs tokens; nobody asks for one, so that it changes nothing which one it is.
static TOKEN_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| KeyPair::generate().expect("a key").serialize_der());

/// What masters have in common. Clones are the same.
#[derive(Clone)]
pub(crate) struct Masters {
    chance: Chance,
    started: Instant,
    planted: Option<Planted>,
    /// How much later than the replica the caches of a master hear of something.
    lag: Arc<Mutex<BTreeMap<Place, Duration>>>,
    skew: Arc<Mutex<BTreeMap<Place, i64>>>,
}

impl Masters {
    pub(crate) fn new(chance: &Chance, planted: Option<Planted>) -> Self {
        Self { chance: chance.fork(), started: Instant::now(), planted, lag: Arc::default(), skew: Arc::default() }
    }

    /// What is started beside every store.
    pub(crate) fn tenant(&self) -> Tenant {
        let masters = self.clone();
        Arc::new(move |net, process| masters.begin(net, process))
    }

    /// What a user or a node has around.
    pub(crate) fn surroundings(&self, place: Place) -> Surroundings {
        let (chance, clocks) = (self.chance.fork(), self.clone());
        Surroundings::new(move || clocks.now(place), move || chance.bits())
    }

    /// From now on the caches of a master are late by so much.
    pub(crate) fn lag(&self, master: Place, by: Duration) {
        self.lag.lock().insert(master, by);
    }

    /// From now on the clock of a place is wrong by so much.
    pub(crate) fn set_clock(&self, place: Place, millis: i64) {
        self.skew.lock().insert(place, millis);
    }

    /// Caches are late no more, and clocks nearly right.
    pub(crate) fn heal(&self) {
        self.lag.lock().clear();
        self.skew.lock().clear();
    }

    fn now(&self, place: Place) -> Timestamp {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let usual = i64::try_from(place % 3).unwrap_or_default() * i64::try_from(SKEW.as_millis()).unwrap_or_default();
        let skew = self.skew.lock().get(&place).copied().unwrap_or(usual);
        Timestamp::from_millisecond(BEGINNING * 1000 + passed + skew).expect("a time of this century")
    }

    fn begin(&self, net: &Net, process: Process) {
        let member = process.member;
        let surroundings = self.surroundings(member).with(self.planted);
        let api =
            apiserver::router(process.store.clone(), config(member, surroundings.clone())).expect("an API server");
        net.open_api(member, Routes::from(api.router()), process.end.clone());
        self.act(api, process, surroundings);
    }

    /// Starts what acts through a master's API server whenever this master leads.
    pub(crate) fn act(&self, api: ApiServer, process: Process, surroundings: Surroundings) {
        let Process { member, store, hold, end } = process;
        let (term, acting) = watch::channel(None);
        let (server, ended) = (api.clone(), end.clone());
        tokio::spawn(hold.clone().keep(tell_the_acting_term(store.leadership(), term)));
        tokio::spawn(async move {
            ended.cancelled().await;
            server.begin_shutdown();
        });
        let late = Late { api: api.clone(), masters: self.clone(), member, hold: hold.clone() };
        let source: Arc<dyn Source> = Arc::new(late);
        let host = format!("m{member}");
        let client_for = |who: &'static Identity| -> controllers::ClientFactory {
            let (api, hold) = (api.clone(), hold.clone());
            Arc::new(move |term| in_process(&api, who, Some(term), member, &hold))
        };
        let controllers = controllers::Config {
            source: source.clone(),
            reader: in_process(&api, &controllers::IDENTITY, None, member, &hold),
            client_for: client_for(&controllers::IDENTITY),
            leadership: acting.clone(),
            host: host.clone(),
            settings: controllers::Settings {
                cluster_cidrs: vec![("10.244.0.0/16".parse().expect("a range"), 24)],
                root_ca_pem: "PEM".to_owned(),
                node_grace: NODE_GRACE,
                eviction_after: EVICTION_AFTER,
            },
            surroundings: surroundings.clone(),
        };
        let client_for = client_for(&scheduler::IDENTITY);
        let scheduler = scheduler::Config { source, client_for, leadership: acting, host, surroundings };
        tokio::spawn(hold.clone().keep(controllers::run(controllers, end.clone())));
        tokio::spawn(hold.keep(scheduler::run(scheduler, end)));
    }
}

/// How an API server of the simulation is set up.
pub(crate) fn config(member: Place, surroundings: Surroundings) -> apiserver::Config {
    let last = u8::try_from(member % 250).unwrap_or_default() + 1;
    apiserver::Config {
        member_id: member,
        name: format!("m{member}"),
        advertise_address: IpAddr::from([10, 0, 0, last]),
        port: 6443,
        service_cidrs: vec!["10.96.0.0/16".parse().expect("a range")],
        node_ports: apiserver::Config::NODE_PORTS,
        issuer: "https://kubernetes.default.svc".to_owned(),
        token_keys: vec![TOKEN_KEY.clone()],
        master_key: [42; 32],
        cluster_ca: String::new(),
        unreachable_toleration_seconds: i64::try_from(EVICTION_AFTER.as_secs()).unwrap_or_default(),
        runtime_config: apiserver::RuntimeConfig::default(),
        surroundings,
        dialer: Arc::new(NoNodes),
    }
}

/// By this the manager of a field names the term in which it wrote.
pub(crate) const IN_TERM: &str = ".term-";

/// A client whose requests are function calls, made as somebody, and in one term only. What it writes says which.
fn in_process(api: &ApiServer, who: &Identity, term: Option<u64>, member: Place, hold: &Hold) -> kube::Client {
    let user = UserInfo::new(who.user, ["system:authenticated"]);
    let agent = term.map(|term| format!("{}{IN_TERM}{term}.m{member}", who.component));
    let agent = agent.map(|agent| HeaderValue::from_str(&agent).expect("a header"));
    let (router, hold) = (api.router(), hold.clone());
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(user.clone());
        if let Some(term) = term {
            request.extensions_mut().insert(Fence { term });
        }
        if let Some(agent) = &agent {
            request.headers_mut().insert(header::USER_AGENT, agent.clone());
        }
        hold.clone().keep(router.clone().oneshot(request))
    });
    client::kube_client::over(service, who.component)
}

/// Turns "who leads" into "the term this master acts under".
async fn tell_the_acting_term(mut leadership: watch::Receiver<store::Leadership>, term: watch::Sender<Option<u64>>) {
    loop {
        let now = {
            let leadership = leadership.borrow_and_update();
            leadership.acting.then_some(leadership.term)
        };
        term.send_if_modified(|known| std::mem::replace(known, now) != now);
        if leadership.changed().await.is_err() {
            // The store has ended. Whoever still looks sees nobody lead.
            term.send_replace(None);
            return;
        }
    }
}

struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn connect(&self, name: &str, _: IpAddr, _: u16) -> io::Result<Box<dyn Connection>> {
        Err(io::Error::other(format!("node {name} is a simulated one")))
    }
}

/// The local replica as a source of caches that hear of everything in order, and later if the master lags.
struct Late {
    api: ApiServer,
    masters: Masters,
    member: Place,
    hold: Hold,
}

impl Source for Late {
    fn list_and_watch(&self, selection: Selection) -> BoxStream<'static, SourceEvent> {
        let resource = &selection.resource;
        let Some(events) = self.api.local_source(&resource.group, &resource.version, &resource.plural) else {
            return stream::pending().boxed();
        };
        let (masters, member, hold) = (self.masters.clone(), self.member, self.hold.clone());
        let chance = masters.chance.fork();
        let mut last = Instant::now();
        let late = events.map(move |event| {
            let lag = masters.lag.lock().get(&member).copied().unwrap_or_default();
            let jitter = chance.millis(0..USUAL_LAG_MS);
            // A list is what is there now; only what follows it can be late.
            let is_list = matches!(event, apiserver::SourceEvent::Reset(..));
            last = if is_list { Instant::now() } else { last.max(Instant::now() + lag + jitter) };
            let (due, hold) = (last, hold.clone());
            hold.keep(async move {
                tokio::time::sleep_until(due).await;
                match event {
                    apiserver::SourceEvent::Reset(objects, revision) => SourceEvent::Reset(objects, revision),
                    apiserver::SourceEvent::Applied(object) => SourceEvent::Applied(object),
                    apiserver::SourceEvent::Deleted(object, revision) => SourceEvent::Deleted(object, revision),
                }
            })
        });
        late.buffered(UNDER_WAY_MAX).chain(stream::pending()).boxed()
    }
}
