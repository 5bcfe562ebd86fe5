//! Putting a member together; `stop` takes it apart.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use openraft::rt::watch::WatchReceiver as _;
use parking_lot::Mutex;
use proto::raftpb::raft_server::RaftServer;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    Leadership, Store, acquaintance, batch,
    config::Config,
    data_dir::{DataDir, DirError},
    departure, election,
    forward::Forwarder,
    inner::Inner,
    leadership, membership,
    peers::{MESSAGE_BYTES_MAX, Peers},
    persistence::{Persistence, StateError},
    proposals::Proposals,
    raft::{
        self, Raft, log_storage::LogStorage, network::Network, runtime::Runtime, server::Server,
        state_machine::Machine, type_config::MemberInfo,
    },
    read_index::{self, Confirmations},
    rows::Owner,
    space::{self, Space},
    steward,
    tls::TlsError,
    upkeep,
    wal::{Identity, Wal, WalError},
    world::{Audience, RealSockets, Serving, Subject, Tcp, World},
};

/// Lost connections to look at; more at once mean nothing else.
const CLOSED_MAX: usize = 64;
/// Between two looks at whether consensus goes on.
const HEALTH_LOOK: Duration = Duration::from_millis(200);

/// Why a member did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Its log.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Its state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port.
    #[error("cannot listen on {address}; is another process using it?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The timing.
    #[error("the timing is unusable; heartbeat < election_min < election_max is needed")]
    Timing(#[source] openraft::ConfigError),
    /// Consensus.
    #[error("consensus did not start: {0}")]
    Raft(String),
}

impl StartError {
    /// Whether something that the member once promised cannot be read back. It must not go on then, but it may come back as
    /// a new member.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Dir(error) => matches!(error, DirError::Unreadable { .. }),
            Self::Wal(error) => matches!(error, WalError::Corrupt { .. }),
            Self::State(error) => matches!(error, StateError::Snapshot { .. } | StateError::Gap { .. }),
            Self::Tls(_) | Self::Listen { .. } | Self::Timing(_) | Self::Raft(_) => false,
        }
    }
}

fn did_not_start(error: impl std::fmt::Display) -> StartError {
    StartError::Raft(error.to_string())
}

/// The parts that the running member follows.
struct Channels {
    rounds: read_index::ReadIndexRounds,
    batches: batch::Batches,
    leadership: watch::Sender<Leadership>,
    closed: mpsc::Receiver<Subject>,
    report_closed: mpsc::Sender<Subject>,
}

/// Starts a member on this machine.
pub(crate) async fn start(config: Config) -> Result<Store, StartError> {
    let network = Arc::new(Tcp::bind(&config, Arc::new(RealSockets)).await?);
    start_in(config, World::real(network)).await
}

/// Starts a member in the world given.
pub(crate) async fn start_in(config: Config, world: World) -> Result<Store, StartError> {
    let dir = DataDir::open(&*world.disk, &config)?;
    let (inner, channels) = assemble(config, world, &dir).await?;
    let inner = Arc::new(inner);
    if dir.creates_cluster {
        create_cluster(&inner).await?;
    }
    let store = Store { inner: inner.clone() };
    inner.spawn(channels.batches.run(inner.raft.clone()));
    spawn_tasks(&inner, channels.leadership, channels.rounds, channels.closed);
    let raft = RaftServer::new(Server { store: inner.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    serve(&inner, Audience::Peers, Some(channels.report_closed), Routes::new(raft))?;
    serve(&inner, Audience::Clients, None, crate::service::routes(&store))?;
    Ok(store)
}

async fn assemble(config: Config, world: World, dir: &DataDir) -> Result<(Inner, Channels), StartError> {
    let raft_config = Arc::new(raft::config(config.cluster_id, config.timing).map_err(StartError::Timing)?);
    let identity = Identity { cluster_id: config.cluster_id, member_id: config.member_id };
    let (wal_dir, state_dir) = (dir.wal(), dir.path().to_path_buf());
    let owner = Owner { cluster_id: config.cluster_id, member_id: config.member_id };
    let options = config.limits.into();
    let files = world.clone();
    let opened = world.threads.run(move || {
        let (state, persistence) = Persistence::open(files.clone(), &state_dir, owner)?;
        let wal = Wal::open(&files, &wal_dir, identity, options)?;
        persistence.check_log(&state.view(), wal.purged().map(|purged| purged.index))?;
        Ok::<_, StartError>((wal, state, Arc::new(persistence)))
    });
    let (wal, state, persistence) = opened.await.map_err(did_not_start)??;
    let machine = Machine::new(state.clone(), persistence.clone());
    let applied = machine.applied();
    let peers = Peers::new(world.network.clone(), config.introduced.clone());
    let (id, log) = (config.member_id, LogStorage::new(wal.clone()));
    let network = Network::new(peers.clone(), world.threads);
    let raft = Runtime::within(world.clone(), Raft::new(id, raft_config, network, log, machine));
    let raft = raft.await.map_err(did_not_start)?;
    let (reads, rounds) = read_index::queue();
    let (batcher, batches) = batch::queue();
    let (leadership, led) = watch::channel(Leadership::default());
    let (report_closed, closed) = mpsc::channel(CLOSED_MAX);
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let inner = Inner {
        config,
        peers,
        wal,
        raft,
        state,
        persistence,
        applied,
        leadership: led,
        election: Arc::default(),
        proposals: Proposals::new(world.identifier()),
        batcher,
        forwarder: Forwarder::new(world.clone(), tasks.clone(), shutdown.clone()),
        reads,
        confirmations: Confirmations::default(),
        leases: Mutex::new(None),
        space: Space::default(),
        tasks,
        servers: Mutex::new(JoinSet::new()),
        last_call: shutdown.child_token(),
        shutdown,
        world,
        departure: watch::Sender::new(None),
    };
    Ok((inner, Channels { rounds, batches, leadership, closed, report_closed }))
}

async fn create_cluster(inner: &Inner) -> Result<(), StartError> {
    if inner.raft.is_initialized().await.map_err(did_not_start)? {
        return Ok(());
    }
    let members: BTreeMap<u64, MemberInfo> = [(inner.id(), inner.own_info())].into();
    inner.raft.initialize(members).await.map_err(did_not_start)
}

fn spawn_tasks(
    inner: &Arc<Inner>,
    leadership: watch::Sender<Leadership>,
    rounds: read_index::ReadIndexRounds,
    closed: mpsc::Receiver<Subject>,
) {
    let weak = Arc::downgrade(inner);
    inner.spawn(leadership::follow(inner.raft.clone(), inner.peers.clone(), inner.applied.follow(), leadership));
    inner.spawn(rounds.run(weak.clone()));
    inner.spawn(election::watch_connections(inner.election.clone(), closed));
    inner.spawn(election::run(weak.clone()));
    inner.spawn(steward::run(weak.clone()));
    inner.spawn(membership::announce(inner.clone()));
    inner.spawn(departure::run(weak.clone()));
    inner.spawn(space::run(weak.clone()));
    inner.spawn(acquaintance::run(weak.clone()));
    inner.spawn(upkeep::run(weak));
    inner.spawn(watch_health(inner.raft.clone(), inner.shutdown.clone()));
}

/// A member whose consensus has ended for another reason than a stop is of no use to anybody.
async fn watch_health(raft: Raft, shutdown: CancellationToken) {
    // These metrics change with every step of the group: looking now and then costs less than being woken by each.
    let mut metrics = raft.metrics();
    loop {
        let state = metrics.borrow_watched().running_state.clone();
        match state {
            Ok(()) => {}
            Err(openraft::errors::Fatal::Stopped) => return,
            Err(fatal) => {
                tracing::error!(%fatal, "this member has stopped taking part");
                shutdown.cancel();
                return;
            }
        }
        tokio::time::sleep(HEALTH_LOOK).await;
        if matches!(tokio::time::timeout(Duration::ZERO, metrics.changed()).await, Ok(Err(_))) {
            // Its task is gone without a word: it panicked.
            tracing::error!("this member's consensus has ended; it stops");
            shutdown.cancel();
            return;
        }
    }
}

fn serve(
    inner: &Inner,
    audience: Audience,
    closed: Option<mpsc::Sender<Subject>>,
    routes: Routes,
) -> Result<(), StartError> {
    let last_call = match audience {
        Audience::Clients => inner.last_call.clone(),
        // Members speak to each other until the end.
        Audience::Peers => inner.shutdown.clone(),
    };
    let serving = Serving { audience, routes, last_call, shutdown: inner.shutdown.clone(), closed };
    let served = inner.world.network.serve(serving)?;
    inner.servers.lock().spawn(served);
    Ok(())
}

impl Inner {
    pub(crate) fn own_info(&self) -> MemberInfo {
        let Config { name, peer_url, client_url, .. } = &self.config;
        let (peer_urls, client_urls) = (vec![peer_url.clone()], vec![client_url.clone()]);
        MemberInfo { name: name.clone(), peer_urls, client_urls, replaces: None }
    }

    /// Runs a task that ends with the store.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(self.world.part(async move {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = task => {}
            }
        }));
    }
}
