//! `kontiki server`: one master: the store, the API server over it, controllers and scheduler beside it.
//!
//! A first start creates a cluster (`--init`) or joins one (`--join`); every later start needs nothing but the folder:
//!
//! ```text
//! <dir>/master.json   who this master is (written last: a folder with it is a whole master)
//! <dir>/pki/          authorities, and this master's own certificates
//! <dir>/master.key    wraps the keys that encrypt Secrets; never in the store
//! <dir>/tokens/       on the first master: a token for masters and one for nodes
//! <dir>/data/         the store's
//! ```

use std::{fs, net::IpAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use api::clock;
use apiserver::RuntimeConfig;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::ServerArgs,
    etcd, files,
    identity::Master,
    join::{
        self,
        service::{JoinService, save_record},
    },
    leave, machine, moved_clock,
    pki::{Authorities, Pair},
    recover, shutdown,
    snapshot::schedule::{self, Schedule},
    tls,
    token::{Role, Token},
};

mod components;
mod creation;
mod rejoin;

pub(crate) use creation::{describe, ensure_empty, first_service_address, read_master_key, save};
use rejoin::Loss;

/// The tokens of a new cluster are good for this long and for this many machines.
const FIRST_TOKENS_HOURS: u32 = 24;
const FIRST_TOKENS_USES: u32 = 100;

/// How one run of a master ended.
enum End {
    /// It was told to.
    Stopped,
    /// Its place in the cluster is gone, or its data is.
    Lost(Loss),
}

/// Runs until told to end; hands leadership over first. A master that lost its place or its data comes back as a new member
/// where it may.
pub(crate) async fn run(args: ServerArgs) -> Result<()> {
    machine::use_all_descriptors();
    let runtime_config = RuntimeConfig::parse(&args.runtime_config).context("--runtime-config")?;
    let _moved = moved_clock::follow(args.clock_ahead.clone());
    let stop = shutdown::on_signal();
    if !args.dir.exists() && !args.init && args.join.is_none() {
        return Err(no_master(&args.dir));
    }
    files::private_folder(&args.dir)?;
    let _lock = files::lock_patiently(&args.dir).await?;
    recover::finish(&args.dir)?;
    let schedule = args.backups.schedule(&args.dir)?;
    // Whoever waits to be admitted can be told to end, too.
    let Some(found) = stop.run_until_cancelled(own_master(&args)).await else { return Ok(()) };
    let mut master = found?;
    leave::refuse_former(&args.dir)?;
    loop {
        match serve(&args.dir, &master, &runtime_config, schedule.clone(), stop.child_token()).await? {
            End::Stopped => return Ok(()),
            End::Lost(Loss::Removed) if leave::has_left(&args.dir) => {
                tracing::info!(name = master.name, "this master has left its cluster");
                return Ok(());
            }
            End::Lost(loss) => match stop.run_until_cancelled(rejoin::rejoin(&args, &master, loss)).await {
                Some(rejoined) => master = rejoined?,
                None => return Ok(()),
            },
        }
    }
}

fn no_master(dir: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} holds no master: create a cluster with --init, or join one with --join https://<master>:6443 --token <token>",
        dir.display()
    )
}

/// The master that the folder holds, or that this one becomes now.
async fn own_master(args: &ServerArgs) -> Result<Master> {
    match (Master::load(&args.dir)?, args.init, &args.join) {
        (Some(_), true, _) => bail!(
            "{} holds a master already: start it without --init, or create the new cluster in another --dir",
            args.dir.display()
        ),
        (Some(master), ..) => creation::at_address(args, master),
        (None, false, _) if rejoin::is_under_way(&args.dir) => rejoin::resume(args).await,
        (None, true, _) => creation::create(args),
        (None, false, Some(url)) => creation::join(args, url).await,
        (None, false, None) => Err(no_master(&args.dir)),
    }
}

/// One run, from the store's start to its end.
async fn serve(
    dir: &Path,
    master: &Master,
    runtime_config: &RuntimeConfig,
    schedule: Option<Schedule>,
    stop: CancellationToken,
) -> Result<End> {
    let pki = dir.join("pki");
    let authorities = Authorities::load(&pki)?;
    let address = listen_address(master.address);
    let listener = TcpListener::bind((address, master.ports.api)).await;
    let listener =
        listener.with_context(|| format!("port {} is taken: say another with --api-port", master.ports.api))?;
    if let Some(gone) = rejoin::data_is_gone(dir, master) {
        return Ok(End::Lost(gone));
    }
    let store = match store::Store::start(store_config(dir, master, &authorities)?).await {
        Ok(store) => store,
        Err(error) if error.is_damage() => return Ok(End::Lost(Loss::Damaged(error.into()))),
        Err(error) => return Err(error).context("the store did not start"),
    };
    if let Err(error) = rejoin::remember_start(dir, master) {
        // On a full disk, say: deleting must be possible then. The next start notes it.
        tracing::warn!(error = format!("{error:#}"), "it is not noted that this master has data");
    }
    let settings = &master.settings;
    let service_account_key =
        fs::read_to_string(pki.join("service-account.key")).context("the service-account key is missing")?;
    let master_key = read_master_key(dir)?;
    let join_service = Arc::new(JoinService {
        store: store.clone(),
        api_address: (master.address, master.ports.api).into(),
        authorities,
        settings: settings.clone(),
        service_account_key: service_account_key.clone(),
        master_key,
    });
    let api = components::api_server(&store, master, &pki, &service_account_key, master_key, runtime_config.clone())?;
    let serving = tls::server_config(join_service.authorities.cluster.cert(), &Pair::load(&pki, "apiserver")?)?;
    let router = api.router().merge(join::service::routes(join_service.clone()));
    let mut tasks = JoinSet::new();
    // The parts are told to end only after leadership is handed over.
    let parts = CancellationToken::new();
    tasks.spawn({
        let stop = parts.clone();
        async move { apiserver::serve(listener, serving, router, stop).await.map_err(anyhow::Error::from) }
    });
    components::spawn(&mut tasks, &api, &store, master, join_service.authorities.cluster.cert(), &parts)?;
    tasks.spawn(rejoin::remember_peers(dir.to_path_buf(), join_service.clone(), parts.clone()));
    if let Some(schedule) = schedule {
        tasks.spawn(schedule::run(store.clone(), schedule, parts.clone()));
    }
    tracing::info!(name = master.name, url = master.url(master.ports.api), "serving");
    if master.first && !dir.join("tokens/node").exists() {
        first_tokens(dir, &join_service).await?;
    }
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = store.stopped() => Err(anyhow::anyhow!("the store has stopped: its log says why")),
        Some(ended) = tasks.join_next() => ended.map_err(anyhow::Error::from).flatten(),
    };
    // Whoever takes over acts at once, while connections here end in their own time.
    store.resign().await;
    // A watch would otherwise be waited for, and none ends by itself.
    api.begin_shutdown();
    parts.cancel();
    while let Some(task) = tasks.join_next().await {
        if let Ok(Err(error)) = task {
            tracing::warn!(error = format!("{error:#}"), "a part of the master did not end well");
        }
    }
    store.shutdown().await;
    match store.departure() {
        Some(departure) => Ok(End::Lost(departure.into())),
        None => ended.map(|()| End::Stopped),
    }
}

/// All addresses of the family that others reach this master at.
fn listen_address(advertised: IpAddr) -> IpAddr {
    match advertised {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0_u16; 8]),
    }
}

fn store_config(dir: &Path, master: &Master, authorities: &Authorities) -> Result<store::Config> {
    let data = dir.join("data");
    let start = match (data.exists(), master.first) {
        (true, _) => store::Start::Restart,
        (false, true) => store::Start::Init,
        (false, false) => store::Start::Join,
    };
    let identity = Pair::load(&dir.join("pki"), "store")?;
    let listen = listen_address(master.address);
    Ok(store::Config {
        dir: data,
        cluster_id: master.settings.cluster_id,
        member_id: master.member_id,
        name: master.name.clone(),
        peer_listen: (listen, master.ports.peer).into(),
        client_listen: (listen, master.ports.client).into(),
        peer_url: master.url(master.ports.peer),
        client_url: master.url(master.ports.client),
        tls: store::Tls {
            ca_pem: authorities.store.cert().to_owned(),
            cert_pem: identity.cert,
            key_pem: identity.key,
            clock: clock::system_time,
        },
        start,
        introduced: master.introduced.clone(),
        timing: store::Timing::default(),
        limits: store::Limits::default(),
    })
}

/// A new cluster's tokens; their files come last, so that whoever waits for them finds a cluster that serves.
async fn first_tokens(dir: &Path, service: &JoinService) -> Result<()> {
    let folder = dir.join("tokens");
    files::private_folder(&folder)?;
    for (role, name) in [(Role::Master, "master"), (Role::Node, "node")] {
        let expires = in_hours(FIRST_TOKENS_HOURS);
        let (token, record) = Token::generate(service.authorities.cluster.cert(), role, expires, FIRST_TOKENS_USES)?;
        save_record(&service.store, &token, &record).await?;
        files::write_durably(&folder.join(name), format!("{token}\n").as_bytes(), 0o600)?;
    }
    Ok(())
}

/// `kontiki token create`: through the etcd port of the master whose folder this is.
pub(crate) async fn create_token(dir: &Path, role: Role, hours: u32, uses: u32) -> Result<String> {
    let master = Master::load(dir)?
        .with_context(|| format!("{} holds no master: run this on one, with its --dir", dir.display()))?;
    ensure!(hours > 0 && uses > 0, "a token is good for at least one hour and one use");
    Ok(token_through(dir, &master.url(master.ports.client), role, hours, uses).await?.to_string())
}

/// A token made with this folder's certificates through a master's etcd port.
async fn token_through(dir: &Path, url: &str, role: Role, hours: u32, uses: u32) -> Result<Token> {
    let pki = dir.join("pki");
    let authorities = Authorities::load(&pki)?;
    let (token, record) = Token::generate(authorities.cluster.cert(), role, in_hours(hours), uses)?;
    let access =
        etcd::Access { authority: authorities.store.cert().to_owned(), identity: Pair::load(&pki, "etcd-client")? };
    let put = join::service::put_record(&token, &record)?;
    access.kv(url)?.put(put).await.with_context(|| format!("the master does not answer at {url}: is it running?"))?;
    Ok(token)
}

/// The end of a token's life, in seconds since 1970.
fn in_hours(hours: u32) -> u64 {
    (clock::since_epoch() + Duration::from_secs(u64::from(hours) * 3600)).as_secs()
}
