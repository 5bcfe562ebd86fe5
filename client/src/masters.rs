//! The masters of a cluster, and which of them answers.
//!
//! Every master is asked `GET /readyz` over TLS each 200 ms. One that gives no answer twice is *dead*: everything that
//! hangs on it is cut ([`Choice::life`]) as soon as there is another to turn to; when none answers, it may be this machine
//! that stands still, and cutting would help nobody. One that answers but is not ready gets nothing new while another is
//! ready, and is cut only when that lasts, so that a graceful stop may finish what it holds.
//! The set is learned from the EndpointSlice `default/kubernetes`; the addresses given at the start are kept forever, so
//! that a cluster that shrank and grew again is found.
//!
//! It does not retry requests and does not know what travels: see [`crate::balancer`] and [`crate::proxy`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Connection, Dial, tcp};
use crate::tls;

mod learn;

/// The name every API server certificate carries.
pub const SERVER_NAME: &str = "kubernetes";
const PROBE_PERIOD: Duration = Duration::from_millis(200);
/// A healthy master answers within a millisecond, on a crowded machine within some hundred.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);
const FAILURES_UNTIL_DEAD: u32 = 2;
/// After this long without readiness, and with another master ready, a master is cut off although it answers.
const UNREADY_UNTIL_CUT: Duration = Duration::from_secs(2);

/// What is known of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not asked yet.
    Unknown,
    /// Answers, and is ready.
    Ready,
    /// Answers, and is not ready.
    Unready,
    /// A connection broke or a probe failed once: nothing new goes there until the next probe.
    Suspect,
    /// At least two probes in a row got no answer.
    Dead,
}

/// A master picked for a request or a stream.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Where it listens.
    pub address: SocketAddr,
    /// Cancelled when the master is found dead: whatever hangs on it must be dropped.
    pub life: CancellationToken,
}

/// No master answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no master answers ({tried}): check that the cluster runs and that this machine reaches it")]
pub struct NoMaster {
    tried: String,
}

/// All masters with their health. Cheap to clone; the probes stop with the token given to [`Masters::start`].
#[derive(Clone)]
pub struct Masters {
    shared: Arc<Shared>,
}

struct Shared {
    seeds: Vec<SocketAddr>,
    dial: Arc<Dial>,
    name: ServerName<'static>,
    tls: RwLock<Arc<ClientConfig>>,
    table: Mutex<Table>,
    changed: watch::Sender<u64>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Table {
    masters: BTreeMap<SocketAddr, Master>,
    preferred: Option<SocketAddr>,
}

struct Master {
    health: Health,
    failures: u32,
    unready_since: Option<Instant>,
    /// What hung on it when it was found dead has been cut.
    was_cut: bool,
    life: CancellationToken,
    /// Ends the probing of a master that left.
    removed: CancellationToken,
    probe_now: Arc<Notify>,
}

impl Masters {
    /// Begins to probe `addresses` and to learn of others. `tls` needs a client certificate only for learning.
    pub fn start(addresses: Vec<SocketAddr>, tls: Arc<ClientConfig>, shutdown: CancellationToken) -> Self {
        Self::start_over(Arc::new(tcp), addresses, tls, shutdown)
    }

    /// The same over connections of another kind.
    pub fn start_over(
        dial: Arc<Dial>,
        addresses: Vec<SocketAddr>,
        tls: Arc<ClientConfig>,
        shutdown: CancellationToken,
    ) -> Self {
        let name = ServerName::try_from(SERVER_NAME).expect("a constant DNS name").to_owned();
        let shared = Shared {
            seeds: addresses.clone(),
            dial,
            name,
            tls: RwLock::new(tls),
            table: Mutex::default(),
            changed: watch::channel(0).0,
            tasks: TaskTracker::new(),
            shutdown,
        };
        let masters = Self { shared: Arc::new(shared) };
        masters.set(addresses);
        let learner = masters.clone();
        masters.spawn(async move { learn::run(learner).await });
        masters
    }

    /// A ready master, the same as last time as long as it is ready. Waits until `deadline` for one.
    pub async fn pick(&self, deadline: Instant) -> Result<Choice, NoMaster> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(choice) = self.shared.table.lock().choose() {
                return Ok(choice);
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(deadline) => return Err(self.none()),
                () = self.shared.shutdown.cancelled() => return Err(self.none()),
            }
        }
    }

    /// Says that a connection to `address` broke: nothing goes there until a probe succeeds.
    pub fn suspect(&self, address: SocketAddr) {
        let mut table = self.shared.table.lock();
        if let Some(master) = table.masters.get_mut(&address) {
            if matches!(master.health, Health::Ready | Health::Unready | Health::Unknown) {
                master.health = Health::Suspect;
            }
            master.probe_now.notify_one();
        }
        drop(table);
        self.bump();
    }

    /// All masters known, with their health.
    pub fn list(&self) -> Vec<(SocketAddr, Health)> {
        self.shared.table.lock().masters.iter().map(|(address, master)| (*address, master.health)).collect()
    }

    /// Uses another certificate from now on, for new connections.
    pub fn set_tls(&self, tls: Arc<ClientConfig>) {
        *self.shared.tls.write() = tls;
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.shared.tls.read().clone()
    }

    pub(crate) fn dial(&self) -> &Dial {
        &*self.shared.dial
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.shared.name.clone()
    }

    /// Runs a task that ends with the shutdown token at the latest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shared.shutdown.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! { () = task => {}, () = shutdown.cancelled() => {} }
        });
    }

    /// The masters are now these and the seeds.
    fn set(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let wanted: std::collections::BTreeSet<_> =
            addresses.into_iter().chain(self.shared.seeds.iter().copied()).collect();
        let mut table = self.shared.table.lock();
        table.masters.retain(|address, master| {
            let keep = wanted.contains(address);
            if !keep {
                master.removed.cancel();
                master.life.cancel();
            }
            keep
        });
        for address in wanted {
            if table.masters.contains_key(&address) {
                continue;
            }
            let master = Master::new();
            let (removed, probe_now) = (master.removed.clone(), master.probe_now.clone());
            table.masters.insert(address, master);
            let masters = self.clone();
            self.spawn(async move {
                tokio::select! { () = masters.probe(address, probe_now) => {}, () = removed.cancelled() => {} }
            });
        }
        drop(table);
        self.bump();
    }

    async fn probe(&self, address: SocketAddr, probe_now: Arc<Notify>) {
        let mut connection = None;
        loop {
            let health = match timeout(PROBE_TIMEOUT, self.ask(address, &mut connection)).await {
                Ok(Ok(true)) => Some(Health::Ready),
                Ok(Ok(false)) => Some(Health::Unready),
                Ok(Err(error)) => {
                    tracing::trace!(%address, %error, "probe failed");
                    None
                }
                Err(_elapsed) => None,
            };
            if health.is_none() {
                connection = None;
            }
            let again_at_once = self.record(address, health);
            if again_at_once {
                continue;
            }
            tokio::select! { () = sleep(PROBE_PERIOD) => {}, () = probe_now.notified() => {} }
        }
    }

    async fn ask(
        &self,
        address: SocketAddr,
        connection: &mut Option<Connection>,
    ) -> Result<bool, crate::connection::Error> {
        if connection.is_none() {
            let tls = tls::speaking(&self.tls(), b"http/1.1");
            *connection = Some(Connection::open(self.dial(), address, self.server_name(), tls).await?);
        }
        let open = connection.as_mut().expect("opened above");
        let (status, _body) = open.get(SERVER_NAME, "/readyz").await?;
        Ok(status.is_success())
    }

    /// Notes the outcome of a probe; `None` is no answer. True: ask again at once, to know soon.
    fn record(&self, address: SocketAddr, health: Option<Health>) -> bool {
        let mut table = self.shared.table.lock();
        let another_ready =
            table.masters.iter().any(|(other, master)| *other != address && master.health == Health::Ready);
        let Some(master) = table.masters.get_mut(&address) else { return false };
        let before = master.health;
        let again_at_once = master.record(health, another_ready, Instant::now());
        let after = master.health;
        drop(table);
        if before != after {
            tracing::debug!(%address, ?before, ?after, "health of a master changed");
            self.bump();
        }
        again_at_once
    }

    fn bump(&self) {
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn none(&self) -> NoMaster {
        let tried: Vec<_> = self.list().into_iter().map(|(address, health)| format!("{address} {health:?}")).collect();
        NoMaster { tried: tried.join(", ") }
    }
}

impl Table {
    /// The preferred one while it is ready; else another ready one; else one that answers at least, when none is ready:
    /// a master without a leader holds a request until there is one.
    fn choose(&mut self) -> Option<Choice> {
        let health = |table: &Self, wanted| {
            let mut found: Vec<_> = table
                .masters
                .iter()
                .filter(|(_, master)| master.health == wanted)
                .map(|(address, _)| *address)
                .collect();
            let start = if found.is_empty() { 0 } else { rand::random_range(0..found.len()) };
            found.rotate_left(start);
            found
        };
        for wanted in [Health::Ready, Health::Unready] {
            let found = health(self, wanted);
            let address = self.preferred.filter(|address| found.contains(address)).or(found.first().copied());
            if let Some(address) = address {
                self.preferred = Some(address);
                return Some(Choice { address, life: self.masters[&address].life.clone() });
            }
            // A master not heard of yet may be ready: wait for its first probe before settling for less.
            if self.masters.values().any(|master| matches!(master.health, Health::Unknown | Health::Suspect)) {
                return None;
            }
        }
        None
    }
}

impl Master {
    fn new() -> Self {
        Self {
            health: Health::Unknown,
            failures: 0,
            unready_since: None,
            was_cut: false,
            life: CancellationToken::new(),
            removed: CancellationToken::new(),
            probe_now: Arc::new(Notify::new()),
        }
    }

    fn record(&mut self, health: Option<Health>, another_ready: bool, now: Instant) -> bool {
        match health {
            None => {
                self.failures += 1;
                self.health = if self.failures < FAILURES_UNTIL_DEAD { Health::Suspect } else { Health::Dead };
                if self.health == Health::Dead && another_ready && !self.was_cut {
                    self.was_cut = true;
                    self.cut();
                }
                return self.failures < FAILURES_UNTIL_DEAD;
            }
            Some(Health::Ready) => self.unready_since = None,
            Some(_) => {
                let since = *self.unready_since.get_or_insert(now);
                if another_ready && now.duration_since(since) >= UNREADY_UNTIL_CUT {
                    self.unready_since = Some(now);
                    self.cut();
                }
            }
        }
        self.failures = 0;
        self.was_cut = false;
        self.health = health.unwrap_or(Health::Unknown);
        false
    }

    fn cut(&mut self) {
        std::mem::take(&mut self.life).cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probe outcomes as letters: r ready, u answers unready, x no answer. Result: health, and how often it was cut.
    fn check(outcomes: &str, another_ready: bool, expect: (Health, usize)) {
        let mut master = Master::new();
        let mut now = Instant::now();
        let mut cuts = 0;
        for letter in outcomes.chars() {
            let life = master.life.clone();
            let health = match letter {
                'r' => Some(Health::Ready),
                'u' => Some(Health::Unready),
                _ => None,
            };
            master.record(health, another_ready, now);
            now += PROBE_PERIOD;
            cuts += usize::from(life.is_cancelled());
        }
        assert_eq!((master.health, cuts), expect, "after {outcomes}");
    }

    #[tokio::test]
    async fn a_master_is_cut_after_two_probes_without_answer() {
        check("r", true, (Health::Ready, 0));
        check("rx", true, (Health::Suspect, 0));
        check("rxr", true, (Health::Ready, 0));
        check("rxx", true, (Health::Dead, 1));
        check("rxxxxx", true, (Health::Dead, 1));
        check("rxxrxx", true, (Health::Dead, 2));
        check("rxxxxx", false, (Health::Dead, 0));
    }

    #[tokio::test]
    async fn a_master_that_is_not_ready_is_cut_only_when_it_lasts_and_another_is_ready() {
        check("ruuuu", true, (Health::Unready, 0));
        check("ruuuuuuuuuuu", true, (Health::Unready, 1));
        check("ruuuuuuuuuuu", false, (Health::Unready, 0));
    }

    #[test]
    fn the_choice_sticks_and_falls_back_to_one_that_answers() {
        let address = |n: u8| SocketAddr::from(([127, 0, 0, n], 6443));
        let mut table = Table::default();
        for (n, health) in [(1, Health::Dead), (2, Health::Ready), (3, Health::Ready)] {
            table.masters.insert(address(n), Master { health, ..Master::new() });
        }
        let first = table.choose().unwrap().address;
        assert!((0..20).all(|_| table.choose().unwrap().address == first));
        for master in table.masters.values_mut() {
            master.health = Health::Unready;
        }
        assert_eq!(table.choose().unwrap().address, first);
        table.masters.get_mut(&address(1)).unwrap().health = Health::Unknown;
        assert!(table.choose().is_none(), "one not asked yet may be ready");
    }
}
