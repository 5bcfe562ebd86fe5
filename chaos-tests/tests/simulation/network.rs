//! A network of function calls: ordered within a stream, as TCP is, with delays, partitions and broken connections.
//!
//! A gRPC call is a task at the callee; its messages wait out their delay one behind the other. While a link is cut they wait
//! for it to heal; a connection that was cut for long, or whose other end has died, breaks with everything on it.

mod call;
mod pump;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::{
    StartError, Tls, TlsError,
    world::{Audience, BoxError, Hold, Network, PeerChannel, Serving, Subject, Traffic},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes};
use tower::util::BoxCloneSyncService;

use crate::chance::Chance;
use call::Caller;

/// A member or a client on the network.
pub(crate) type Place = u64;

/// What a process is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    /// The store's port for other members.
    Peers,
    /// The store's port for clients.
    Clients,
    /// The API server's.
    Api,
}

impl From<Audience> for Door {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Peers => Self::Peers,
            Audience::Clients => Self::Clients,
        }
    }
}

/// A connection attempt that gets no answer ends after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that carries nothing for this long is given up.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// What the network did, so that a run can prove that its faults bit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traversed {
    pub(crate) messages: u64,
    pub(crate) held_by_a_cut: u64,
    pub(crate) connections_broken: u64,
    pub(crate) connections_refused: u64,
    pub(crate) calls_repeated: u64,
}

impl Traversed {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.held_by_a_cut += other.held_by_a_cut;
        self.connections_broken += other.connections_broken;
        self.connections_refused += other.connections_refused;
        self.calls_repeated += other.calls_repeated;
    }
}

#[derive(Default)]
struct State {
    ports: BTreeMap<(Place, Door), Port>,
    cut: BTreeMap<(Place, Place), Instant>,
    /// Places that reach nobody, whatever else heals.
    severed: BTreeSet<Place>,
    slow: BTreeMap<(Place, Place), Duration>,
    connections: BTreeMap<(Place, Place, Traffic), CancellationToken>,
    /// What holds up the process at a place.
    holds: BTreeMap<Place, Hold>,
    traversed: Traversed,
}

#[derive(Clone)]
struct Port {
    routes: Routes,
    /// No call begins after this.
    last_call: CancellationToken,
    open: CancellationToken,
    closed: Option<mpsc::Sender<Subject>>,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    chance: Chance,
}

/// Closes every port of a network when it is dropped: what listens there knows the network, and would never go otherwise.
#[must_use]
pub(crate) struct Closing(Net);

impl Drop for Closing {
    fn drop(&mut self) {
        // Out of the lock, since what goes may look at the network once more.
        let ports = std::mem::take(&mut self.0.state.lock().ports);
        drop(ports);
    }
}

impl Net {
    /// Has the network's ports close at the end of a run.
    pub(crate) fn closing(&self) -> Closing {
        Closing(self.clone())
    }

    pub(crate) fn new(chance: Chance) -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(())), chance }
    }

    /// The network as one member sees it.
    pub(crate) fn of_member(&self, member: Place) -> Arc<dyn Network> {
        Arc::new(OfMember { net: self.clone(), member })
    }

    /// What a client calls a member by.
    pub(crate) fn client(&self, client: Place, member: Place) -> PeerChannel {
        let subject = Subject::Client(format!("client-{client}"));
        BoxCloneSyncService::new(Caller::new(self.clone(), (client, member), Traffic::Bulk, Door::Clients, subject))
    }

    /// What a client calls a member's API server by. The requests say themselves who makes them.
    pub(crate) fn api(&self, client: Place, member: Place) -> PeerChannel {
        let subject = Subject::Client(format!("client-{client}"));
        BoxCloneSyncService::new(Caller::new(self.clone(), (client, member), Traffic::Bulk, Door::Api, subject))
    }

    /// A member's API server answers from now on, and takes nothing new after `shutdown`.
    pub(crate) fn open_api(&self, member: Place, routes: Routes, shutdown: CancellationToken) {
        // A process that dies says nothing: its connections break because nobody is there.
        let port = Port { routes, last_call: shutdown, open: CancellationToken::new(), closed: None };
        self.state.lock().ports.insert((member, Door::Api), port);
    }

    /// Nothing gets from one to the other any more.
    pub(crate) fn cut(&self, from: Place, to: Place) {
        self.state.lock().cut.entry((from, to)).or_insert_with(Instant::now);
        let (net, at) = (self.clone(), Instant::now());
        tokio::spawn(async move {
            tokio::time::sleep(SILENCE_MAX).await;
            let still = net.state.lock().cut.get(&(from, to)).is_some_and(|since| *since <= at);
            if still {
                net.break_between(from, to);
            }
        });
    }

    /// A place reaches nobody, and nobody reaches it, until it is let back.
    pub(crate) fn sever(&self, place: Place) {
        self.state.lock().severed.insert(place);
        let net = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SILENCE_MAX).await;
            if net.state.lock().severed.contains(&place) {
                net.break_with(place);
            }
        });
    }

    /// A place is part of the network again.
    pub(crate) fn let_back(&self, place: Place) {
        self.state.lock().severed.remove(&place);
        self.changed.send_replace(());
    }

    pub(crate) fn slow_down(&self, from: Place, to: Place, by: Duration) {
        self.state.lock().slow.insert((from, to), by);
    }

    /// Everything gets through again.
    pub(crate) fn heal(&self) {
        {
            let mut state = self.state.lock();
            state.cut.clear();
            state.slow.clear();
        }
        self.changed.send_replace(());
    }

    /// Whether something is cut or slow.
    pub(crate) fn is_disturbed(&self) -> bool {
        let state = self.state.lock();
        !(state.cut.is_empty() && state.severed.is_empty() && state.slow.is_empty())
    }

    /// All connections between two places break, as when a router between them forgets them.
    pub(crate) fn break_between(&self, a: Place, b: Place) {
        self.break_where(|from, to| (from, to) == (a, b) || (from, to) == (b, a));
    }

    /// All connections of a place break.
    pub(crate) fn break_with(&self, place: Place) {
        self.break_where(|from, to| from == place || to == place);
    }

    /// A process begins at a place.
    pub(crate) fn belongs_to(&self, place: Place, hold: Hold) {
        self.state.lock().holds.insert(place, hold);
    }

    /// What holds up the process there, if anything can.
    fn hold(&self, place: Place) -> Hold {
        self.state.lock().holds.get(&place).cloned().unwrap_or_default()
    }

    /// A process ended: its ports are closed, its connections break.
    pub(crate) fn forget(&self, place: Place) {
        self.state.lock().ports.retain(|(of, _), _| *of != place);
        self.break_with(place);
    }

    /// A machine is gone without a word: its ports are closed, its connections stay silent until they are given up.
    pub(crate) fn fall_silent(&self, place: Place) {
        self.state.lock().ports.retain(|(of, _), _| *of != place);
        let others = self.others(place);
        for other in others {
            self.cut(place, other);
            self.cut(other, place);
        }
    }

    /// A machine is there again: what is still connected to its former self breaks.
    pub(crate) fn come_back(&self, place: Place) {
        self.state.lock().cut.retain(|(from, to), _| *from != place && *to != place);
        self.break_with(place);
        self.changed.send_replace(());
    }

    pub(crate) fn traversed(&self) -> Traversed {
        self.state.lock().traversed
    }

    fn others(&self, place: Place) -> Vec<Place> {
        let state = self.state.lock();
        let pairs = state.connections.keys().filter(|(from, to, _)| *from == place || *to == place);
        pairs.map(|(from, to, _)| if *from == place { *to } else { *from }).collect()
    }

    fn break_where(&self, is_meant: impl Fn(Place, Place) -> bool) {
        let mut broken = Vec::new();
        let mut told = Vec::new();
        {
            let mut state = self.state.lock();
            let keys: Vec<_> = state.connections.keys().filter(|(from, to, _)| is_meant(*from, *to)).copied().collect();
            for key @ (from, to, _) in keys {
                broken.extend(state.connections.remove(&key));
                state.traversed.connections_broken += 1;
                let port = state.ports.get(&(to, Door::Peers));
                told.extend(port.and_then(|port| port.closed.clone()).map(|closed| (closed, from)));
            }
        }
        for connection in broken {
            connection.cancel();
        }
        for (closed, member) in told {
            // A full queue means that enough are being looked at.
            drop(closed.try_send(Subject::Member(member)));
        }
    }

    fn is_cut(&self, from: Place, to: Place) -> bool {
        let state = self.state.lock();
        state.cut.contains_key(&(from, to)) || [from, to].iter().any(|place| state.severed.contains(place))
    }

    /// Until the link is whole.
    async fn passable(&self, from: Place, to: Place) {
        if !self.is_cut(from, to) {
            return;
        }
        self.state.lock().traversed.held_by_a_cut += 1;
        let mut changed = self.changed.subscribe();
        while self.is_cut(from, to) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// How long the next message takes.
    fn delay(&self, from: Place, to: Place) -> Duration {
        let slow = self.state.lock().slow.get(&(from, to)).copied().unwrap_or_default();
        let jitter = slow.mul_f64(self.chance.below(1000) as f64 / 1000.0);
        // A millisecond now and then: half a millisecond on average.
        self.chance.millis(0..2) + jitter
    }

    fn port(&self, place: Place, door: Door) -> Option<Port> {
        self.state.lock().ports.get(&(place, door)).filter(|port| !port.last_call.is_cancelled()).cloned()
    }

    /// The connection, made when there is none.
    async fn connection(
        &self,
        from: Place,
        to: Place,
        traffic: Traffic,
        door: Door,
    ) -> Result<CancellationToken, Status> {
        if let Some(connection) = self.state.lock().connections.get(&(from, to, traffic)) {
            return Ok(connection.clone());
        }
        let handshake = async {
            self.passable(from, to).await;
            self.passable(to, from).await;
            tokio::time::sleep(self.delay(from, to) + self.delay(to, from)).await;
        };
        let shaken = tokio::time::timeout(CONNECT_TIMEOUT, handshake).await;
        if shaken.is_err() || self.port(to, door).is_none() {
            self.state.lock().traversed.connections_refused += 1;
            return Err(Status::unavailable("nobody answers there"));
        }
        Ok(self.state.lock().connections.entry((from, to, traffic)).or_default().clone())
    }
}

struct OfMember {
    net: Net,
    member: Place,
}

impl Network for OfMember {
    fn channel(&self, member: u64, _url: &str, traffic: Traffic) -> Result<PeerChannel, BoxError> {
        let subject = Subject::Member(self.member);
        Ok(BoxCloneSyncService::new(Caller::new(
            self.net.clone(),
            (self.member, member),
            traffic,
            Door::Peers,
            subject,
        )))
    }

    fn serve(&self, serving: Serving) -> Result<BoxFuture<'static, ()>, StartError> {
        let Serving { audience, routes, last_call, shutdown, closed } = serving;
        let open = shutdown.clone();
        let port = Port { routes, last_call, open, closed };
        self.net.state.lock().ports.insert((self.member, audience.into()), port);
        Ok(Box::pin(shutdown.cancelled_owned()))
    }

    fn replace_certificate(&self, _tls: &Tls) -> Result<(), TlsError> {
        Ok(())
    }
}
