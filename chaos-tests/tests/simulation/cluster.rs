//! Members that are started, crash and come back, as a machine and its service manager would have it. `cluster/members` has them
//! join and leave.

mod members;

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use store::{
    Config, Departure, Limits, Start, StartError, StateError, Store, Timing, Tls, WalError,
    world::{Hold, Planted, Threads, World},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    disk::{Platter, Wear},
    network::{Net, Place, SILENCE_MAX},
};

const CLUSTER: u64 = 0xC1;
/// Small, so that a minute fills segments, writes snapshots and purges the log.
pub(crate) const LIMITS: Limits = Limits {
    checkpoint_bytes: 16 << 10,
    log_bytes_max: 96 << 10,
    log_bytes_keep: 16 << 10,
    quota_bytes: 1 << 30,
    segment_bytes_first: 16 << 10,
    segment_bytes_max: 64 << 10,
    log_cache_bytes: 16 << 10,
    disk_free_min_bytes: 48 << 10,
};

/// What a service manager waits before it starts a process again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Enough for every disk to be whole again.
const ATTEMPTS: usize = 40;

/// How a member goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// `kill -9`: the machine goes on.
    Process,
    /// The machine goes with it, and what its disk had not flushed.
    Power,
}

/// One life of a member, as what runs beside its store sees it.
pub(crate) struct Process {
    pub(crate) member: Place,
    pub(crate) store: Store,
    /// Holds the process up.
    pub(crate) hold: Hold,
    /// Told to end: in order, after leadership was handed over, or because the process is dead.
    pub(crate) end: CancellationToken,
}

/// What is started beside every store.
pub(crate) type Tenant = Arc<dyn Fn(&Net, Process) + Send + Sync>;

/// What a cluster is made with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) members: u64,
    pub(crate) limits: Limits,
    pub(crate) planted: Option<Planted>,
    pub(crate) tenant: Option<Tenant>,
}

struct Machine {
    disk: Platter,
    /// Who was named to its member when that joined.
    introduced: BTreeMap<Place, String>,
    /// It belongs to the cluster no more, and is not started again.
    gone: bool,
    /// Somebody is starting or stopping it.
    busy: bool,
    /// Its disk may not hold what it has promised, and it was not started since.
    in_doubt: bool,
    running: Option<Running>,
}

struct Running {
    generation: u64,
    store: Store,
    alive: CancellationToken,
    /// For what runs beside the store.
    end: CancellationToken,
    hold: Hold,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<Place, Machine>,
    restarts: u64,
    joined: u64,
    left: u64,
    /// How many are held up.
    held_up: u64,
    /// How often a fault came upon another.
    overlaps: u64,
    /// A member that could not start again: nothing of a run may end like this.
    failures: Vec<String>,
}

/// The members of one run. Clones are the same cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) net: Net,
    chance: Chance,
    settings: Settings,
    state: Arc<Mutex<State>>,
}

fn config(member: Place, limits: Limits, start: Start, introduced: BTreeMap<Place, String>) -> Config {
    let nowhere = (Ipv4Addr::LOCALHOST, 0).into();
    Config {
        dir: format!("/member-{member}").into(),
        cluster_id: CLUSTER,
        member_id: member,
        name: format!("m{member}"),
        peer_listen: nowhere,
        client_listen: nowhere,
        peer_url: peer_url(member),
        client_url: client_url(member),
        tls: Tls {
            ca_pem: String::new(),
            cert_pem: String::new(),
            key_pem: String::new(),
            clock: std::time::SystemTime::now,
        },
        start,
        introduced,
        timing: Timing::default(),
        limits,
    }
}

fn peer_url(member: Place) -> String {
    format!("https://m{member}:2380")
}

fn client_url(member: Place) -> String {
    format!("https://m{member}:2379")
}

impl Cluster {
    /// Members 1 to `members`, all voters.
    pub(crate) async fn create(chance: &Chance, settings: Settings) -> Self {
        let members = settings.members;
        let cluster = Self { net: Net::new(chance.fork()), chance: chance.fork(), settings, state: Arc::default() };
        cluster.start(1, Start::Init).await.expect("the first member starts");
        for member in 2..=members {
            let first = cluster.member(1).expect("the first member runs");
            let add =
                || first.member_add(member, format!("m{member}"), vec![peer_url(member)], vec![client_url(member)]);
            while let Err(error) = add().await {
                assert!(!matches!(error, store::Error::MemberExists), "the members are new");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            cluster.start(member, Start::Join).await.expect("a member joins");
        }
        cluster.until_all_vote(members).await;
        cluster
    }

    async fn until_all_vote(&self, members: u64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let first = self.member(1).expect("the first member runs");
            let voters = first.members().iter().filter(|member| !member.learner).count() as u64;
            if voters == members - (members + 1) % 2 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the members do not become voters: {:?}", first.members());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A machine that is not part of the cluster yet.
    fn reserve(&self, member: Place) {
        let disk = Platter::new(self.chance.fork());
        let machine =
            Machine { disk, introduced: BTreeMap::new(), gone: true, busy: false, in_doubt: false, running: None };
        self.state.lock().machines.insert(member, machine);
    }

    async fn start(&self, member: Place, start: Start) -> Result<(), StartError> {
        let others = self.places().into_iter().filter(|place| *place != member).map(|place| (place, peer_url(place)));
        let (disk, introduced) = {
            let mut state = self.state.lock();
            let machine = state.machines.entry(member).or_insert_with(|| Machine {
                disk: Platter::new(self.chance.fork()),
                introduced: BTreeMap::new(),
                gone: false,
                busy: false,
                in_doubt: false,
                running: None,
            });
            if start == Start::Join {
                machine.introduced = others.collect();
            }
            (machine.disk.clone(), machine.introduced.clone())
        };
        let (alive, hold) = (CancellationToken::new(), Hold::default());
        self.net.belongs_to(member, hold.clone());
        let chance = self.chance.fork();
        let world = World {
            disk: disk.mount(alive.clone()),
            network: self.net.of_member(member),
            random: Arc::new(move || chance.bits()),
            threads: Threads::None,
            hold: Some(hold.clone()),
            planted: self.settings.planted,
        };
        let store = Store::start_in(config(member, self.settings.limits, start, introduced), world).await?;
        let generation = self.chance.bits();
        let end = alive.child_token();
        if let Some(tenant) = &self.settings.tenant {
            tenant(&self.net, Process { member, store: store.clone(), hold: hold.clone(), end: end.clone() });
        }
        let running = Running { generation, store: store.clone(), alive: alive.clone(), end, hold };
        self.state.lock().machines.get_mut(&member).expect("the machine is there").running = Some(running);
        let cluster = self.clone();
        tokio::spawn(async move {
            let gave_up = tokio::select! {
                biased;
                () = alive.cancelled() => true,
                () = store.stopped() => false,
            };
            cluster.has_ended(member, generation, gave_up);
        });
        Ok(())
    }

    /// A process that gave up is started again by its service manager. One that stopped for no such reason is a failure.
    fn has_ended(&self, member: Place, generation: u64, gave_up: bool) {
        let running = {
            let mut state = self.state.lock();
            let machine = state.machines.get_mut(&member).expect("the machine is there");
            let running = machine.running.take_if(|running| running.generation == generation);
            let removed = |running: &Running| running.store.departure() == Some(Departure::Removed);
            if running.as_ref().is_some_and(removed) {
                machine.gone = true;
                state.left += 1;
            } else if running.is_some() && !gave_up {
                state.failures.push(format!("members go on: {member} stopped by itself"));
            }
            running
        };
        let Some(running) = running else { return };
        self.net.forget(member);
        bury(running);
        let cluster = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RESTART_PAUSE).await;
            cluster.bring_back(member).await;
        });
    }

    /// The running member.
    pub(crate) fn member(&self, member: Place) -> Option<Store> {
        self.state.lock().machines.get(&member)?.running.as_ref().map(|running| running.store.clone())
    }

    /// The running member, and which of its lives this is.
    pub(crate) fn generation(&self, member: Place) -> Option<(u64, Store)> {
        let state = self.state.lock();
        let running = state.machines.get(&member)?.running.as_ref()?;
        Some((running.generation, running.store.clone()))
    }

    /// All members there are.
    pub(crate) fn places(&self) -> Vec<Place> {
        let state = self.state.lock();
        state.machines.iter().filter(|(_, machine)| !machine.gone).map(|(place, _)| *place).collect()
    }

    pub(crate) fn disk(&self, member: Place) -> Platter {
        self.state.lock().machines[&member].disk.clone()
    }

    /// The member that most of the running ones take for the leader.
    pub(crate) fn leader(&self) -> Option<Place> {
        let members: Vec<_> = self.places().into_iter().filter_map(|place| self.member(place)).collect();
        let acting = members.iter().map(Store::status).filter(|status| status.leader == Some(status.member_id));
        acting.max_by_key(|status| status.term).map(|status| status.member_id)
    }

    /// Takes a member down.
    pub(crate) fn crash(&self, member: Place, how: Crash) {
        let running = self.state.lock().machines.get_mut(&member).and_then(|machine| machine.running.take());
        let Some(running) = running else { return };
        match how {
            Crash::Process => self.net.forget(member),
            Crash::Power => {
                running.alive.cancel();
                self.net.fall_silent(member);
                self.disk(member).lose_power();
            }
        }
        bury(running);
    }

    /// Stops a member in order: another one leads first.
    pub(crate) async fn stop(&self, member: Place) {
        let running = {
            let mut state = self.state.lock();
            let Some(machine) = state.machines.get_mut(&member) else { return };
            let Some(running) = machine.running.take() else { return };
            machine.busy = true;
            running
        };
        running.store.resign().await;
        running.end.cancel();
        running.store.shutdown().await;
        self.net.forget(member);
        bury(running);
        self.state.lock().machines.get_mut(&member).expect("the machine is there").busy = false;
    }

    /// Holds a member up for a time. Its connections are given up by the others when that is long.
    pub(crate) async fn pause(&self, member: Place, time: Duration) {
        let Some(hold) = self.state.lock().machines.get(&member).and_then(|it| Some(it.running.as_ref()?.hold.clone()))
        else {
            return;
        };
        hold.stop();
        self.state.lock().held_up += 1;
        let patience = tokio::time::Instant::now() + SILENCE_MAX;
        tokio::time::sleep(time.min(SILENCE_MAX)).await;
        if tokio::time::Instant::now() >= patience {
            self.net.break_with(member);
        }
        tokio::time::sleep(time.saturating_sub(SILENCE_MAX)).await;
        hold.go_on();
        self.state.lock().held_up -= 1;
    }

    /// Nobody is held up any more.
    pub(crate) fn wake_all(&self) {
        let state = self.state.lock();
        state.machines.values().filter_map(|machine| machine.running.as_ref()).for_each(|running| running.hold.go_on());
    }

    /// Starts a member that is down, again and again while its disk fails. One that cannot start is a failure of the run.
    pub(crate) async fn bring_back(&self, member: Place) {
        let is_first = |machine: &mut Machine| !std::mem::replace(&mut machine.busy, true);
        if self.state.lock().machines.get_mut(&member).is_some_and(is_first) {
            self.try_to_start(member).await;
            self.state.lock().machines.get_mut(&member).expect("the machine is there").busy = false;
        }
    }

    async fn try_to_start(&self, member: Place) {
        for _ in 0..ATTEMPTS {
            if self.member(member).is_some() || self.state.lock().machines[&member].gone {
                return;
            }
            self.net.come_back(member);
            self.state.lock().restarts += 1;
            match self.start(member, Start::Restart).await {
                Ok(()) => return self.doubt(member, false),
                Err(StartError::Wal(WalError::Io { .. }) | StartError::State(StateError::Io { .. })) => {}
                Err(error) if error.is_damage() && self.disk(member).wear().rotten_bits > 0 => {
                    return self.replace(member);
                }
                Err(error) => return self.fail(format!("members start again: {member} does not: {error}")),
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
        self.fail(format!("members start again: {member} does not, its disk does not work"));
    }

    /// Whether a member's disk may not hold what it has promised.
    pub(crate) fn doubt(&self, member: Place, doubted: bool) {
        self.state.lock().machines.get_mut(&member).expect("the machine is there").in_doubt = doubted;
    }

    fn fail(&self, what: String) {
        self.state.lock().failures.push(what);
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.state.lock().restarts
    }

    /// What all disks went through, those of members that left included.
    pub(crate) fn wear(&self) -> Wear {
        let mut wear = Wear::default();
        self.state.lock().machines.values().for_each(|machine| wear.add(machine.disk.wear()));
        wear
    }

    /// How many members joined after the beginning, and how many left.
    pub(crate) fn changes(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.joined, state.left)
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.state.lock().failures.clone()
    }
}

/// What is left of a dead process can neither reach the network nor the disk; it is only waited for.
fn bury(running: Running) {
    running.alive.cancel();
    running.hold.go_on();
    tokio::spawn(async move { running.store.halt().await });
}
