//! A master as it is in the product, down to the bytes of its connections: the store between members over gRPC and mutual TLS, the
//! API server over HTTP and TLS, controllers and scheduler.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use api::surroundings::{Planted, Surroundings};
use jiff::Timestamp;
use kontiki::pki::{Authorities, Leaf, Pair, member_uri};
use parking_lot::Mutex;
use store::{
    Config, Start, Store, Timing, Tls,
    world::{Hold, Tcp, Threads, World},
};
use tokio_util::sync::CancellationToken;

use super::network::{Port, Simulated};
use crate::{
    chance::Chance,
    cluster::{LIMITS, Process},
    control_plane::master::{Masters, config as api_server_config},
    disk::Platter,
};

pub(crate) const MASTERS: u64 = 3;
pub(crate) const API_PORT: u16 = 6443;
const PEER_PORT: u16 = 2380;
const CLIENT_PORT: u16 = 2379;
const CLUSTER: u64 = 0xC1;
/// The second on which every run begins.
const BEGINNING: i64 = 1_900_000_000;

/// Whom everybody trusts. Keys are drawn by the system: nothing that is looked at depends on which they are.
pub(crate) static AUTHORITIES: LazyLock<Authorities> =
    LazyLock::new(|| Authorities::generate(CLUSTER).expect("authorities"));

/// The machine of a master; what runs on it comes and goes.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) id: u64,
    disk: Platter,
    chance: Chance,
    planted: Option<Planted>,
    certificates: Arc<Certificates>,
    running: Arc<Mutex<Option<Running>>>,
}

struct Certificates {
    store: Pair,
    api: Pair,
}

struct Running {
    store: Store,
    /// Beyond it, nothing of the process reaches the disk.
    alive: CancellationToken,
}

pub(crate) fn name(id: u64) -> String {
    format!("m{id}")
}

fn url(id: u64, port: u16) -> String {
    format!("https://m{id}:{port}")
}

impl Machine {
    pub(crate) fn new(id: u64, chance: &Chance, planted: Option<Planted>) -> Self {
        let uris = vec![member_uri(CLUSTER, id)];
        let store = Leaf { common_name: name(id), uris, server: true, client: true, ..Leaf::default() };
        let dns_names = vec![client::masters::SERVER_NAME.to_owned()];
        let api = Leaf { common_name: name(id), dns_names, server: true, ..Leaf::default() };
        let certificates = Certificates {
            store: AUTHORITIES.store.issue(&store).expect("a certificate"),
            api: AUTHORITIES.cluster.issue(&api).expect("a certificate"),
        };
        let (chance, certificates) = (chance.fork(), Arc::new(certificates));
        Self { id, disk: Platter::new(chance.fork()), chance, planted, certificates, running: Arc::default() }
    }

    /// The process that runs there, from its start on; it ends with its host only.
    pub(crate) async fn run(self, start: Start) -> turmoil::Result {
        let alive = CancellationToken::new();
        let config = self.store_config(start);
        let chance = self.chance.fork();
        let world = World {
            disk: self.disk.mount(alive.clone()),
            network: Arc::new(Tcp::bind(&config, Arc::new(Simulated)).await?),
            random: Arc::new(move || chance.bits()),
            threads: Threads::None,
            hold: None,
            planted: None,
        };
        let port = Port::bind((Ipv4Addr::UNSPECIFIED, API_PORT).into()).await?;
        let store = Store::start_in(config, world).await?;
        *self.running.lock() = Some(Running { store: store.clone(), alive: alive.clone() });
        let surroundings = self.surroundings();
        let mut config = api_server_config(self.id, surroundings.clone());
        config.advertise_address = turmoil::lookup(name(self.id));
        let api = apiserver::router(store.clone(), config)?;
        let serving = kontiki::server_tls(AUTHORITIES.cluster.cert(), &self.certificates.api)?;
        let process = Process { member: self.id, store: store.clone(), hold: Hold::default(), end: alive.clone() };
        Masters::new(&self.chance, None).act(api.clone(), process, surroundings);
        tokio::select! {
            served = apiserver::serve(port, serving, api.router(), alive) => Ok(served?),
            () = store.stopped() => Err("the store has stopped by itself".into()),
        }
    }

    /// The host is gone. With its power goes what its disk had not flushed.
    pub(crate) fn crashed(&self, with_its_power: bool) {
        let Some(running) = self.running.lock().take() else { return };
        running.alive.cancel();
        if with_its_power {
            self.disk.lose_power();
        }
    }

    /// The store that runs there.
    pub(crate) fn store(&self) -> Option<Store> {
        self.running.lock().as_ref().map(|running| running.store.clone())
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        let chance = self.chance.fork();
        let now = || {
            let passed = turmoil::sim_elapsed().unwrap_or_default();
            let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millisecond(BEGINNING * 1000 + millis).expect("a time of this century")
        };
        Surroundings::new(now, move || chance.bits()).with(self.planted)
    }

    fn store_config(&self, start: Start) -> Config {
        let Pair { cert, key } = self.certificates.store.clone();
        let listen = |port| SocketAddr::from((IpAddr::from(Ipv4Addr::UNSPECIFIED), port));
        let others = (1..=MASTERS).filter(|id| *id != self.id);
        let introduced: BTreeMap<u64, String> = others.map(|id| (id, url(id, PEER_PORT))).collect();
        Config {
            dir: "/store".into(),
            cluster_id: CLUSTER,
            member_id: self.id,
            name: name(self.id),
            peer_listen: listen(PEER_PORT),
            client_listen: listen(CLIENT_PORT),
            peer_url: url(self.id, PEER_PORT),
            client_url: url(self.id, CLIENT_PORT),
            tls: Tls {
                ca_pem: AUTHORITIES.store.cert().to_owned(),
                cert_pem: cert,
                key_pem: key,
                clock: SystemTime::now,
            },
            start,
            introduced,
            timing: Timing::default(),
            limits: LIMITS,
        }
    }
}

/// Names a new member to the cluster, as its join does, until it is one.
pub(crate) async fn join(first: Machine, id: u64) {
    loop {
        if let Some(store) = first.store() {
            match store.member_add(id, name(id), vec![url(id, PEER_PORT)], vec![url(id, CLIENT_PORT)]).await {
                Ok(_) | Err(store::Error::MemberExists) => return,
                Err(error) => tracing::debug!(%error, "a member is added later"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
