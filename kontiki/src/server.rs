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

use std::{
    fs,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use apiserver::Cidr;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    cli::ServerArgs,
    etcd, files,
    identity::{self, Master, Ports, Settings},
    join::{
        self, MASTER_PATH, MasterRequest, MasterResponse,
        service::{JoinService, save_record},
    },
    machine,
    pki::{Authorities, Pair},
    shutdown, tls,
    token::{Role, Token},
};

mod components;

/// The tokens of a new cluster are good for this long and for this many machines.
const FIRST_TOKENS_HOURS: u32 = 24;
const FIRST_TOKENS_USES: u32 = 100;

/// Runs until told to end; hands leadership over first.
pub(crate) async fn run(args: ServerArgs) -> Result<()> {
    let stop = shutdown::on_signal();
    let master = match (Master::load(&args.dir)?, args.init, &args.join) {
        (Some(_), true, _) => bail!(
            "{} holds a master already: start it without --init, or create the new cluster in another --dir",
            args.dir.display()
        ),
        (Some(master), ..) => master,
        (None, true, _) => create(&args)?,
        (None, false, Some(url)) => join(&args, url).await?,
        (None, false, None) => bail!(
            "{} holds no master: create a cluster with --init, or join one with --join https://<master>:6443 --token <token>",
            args.dir.display()
        ),
    };
    let pki = args.dir.join("pki");
    let authorities = Authorities::load(&pki)?;
    let address = listen_address(master.address);
    let listener = TcpListener::bind((address, master.ports.api)).await;
    let listener =
        listener.with_context(|| format!("port {} is taken: say another with --api-port", master.ports.api))?;
    let store = store::Store::start(store_config(&args.dir, &master, &authorities)?)
        .await
        .context("the store did not start")?;
    let settings = &master.settings;
    let service_account_key =
        fs::read_to_string(pki.join("service-account.key")).context("the service-account key is missing")?;
    let master_key = read_master_key(&args.dir)?;
    let join_service = Arc::new(JoinService {
        store: store.clone(),
        api_address: (master.address, master.ports.api).into(),
        authorities,
        settings: settings.clone(),
        service_account_key: service_account_key.clone(),
        master_key,
    });
    let api = components::api_server(&store, &master, &pki, &service_account_key, master_key)?;
    let serving = tls::server_config(join_service.authorities.cluster.cert(), &Pair::load(&pki, "apiserver")?)?;
    let router = api.router().merge(join::service::routes(join_service.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let stop = stop.clone();
        async move { apiserver::serve(listener, serving, router, stop).await.map_err(anyhow::Error::from) }
    });
    components::spawn(&mut tasks, &api, &store, &master, join_service.authorities.cluster.cert(), &stop)?;
    tracing::info!(name = master.name, url = master.url(master.ports.api), "serving");
    if master.first && !args.dir.join("tokens/node").exists() {
        first_tokens(&args.dir, &join_service).await?;
    }
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = store.stopped() => Err(anyhow::anyhow!("the store has stopped: its log says why")),
        Some(ended) = tasks.join_next() => ended.map_err(anyhow::Error::from).flatten(),
    };
    stop.cancel();
    while let Some(task) = tasks.join_next().await {
        if let Ok(Err(error)) = task {
            tracing::warn!(error = format!("{error:#}"), "a part of the master did not end well");
        }
    }
    store.shutdown().await;
    ended
}

/// A new cluster, of this master alone.
fn create(args: &ServerArgs) -> Result<Master> {
    ensure_empty(&args.dir)?;
    let settings = Settings {
        cluster_id: identity::random_id()?,
        service_cidr: args.service_cidr.clone(),
        cluster_cidr: args.cluster_cidr.clone(),
        cluster_domain: args.cluster_domain.clone(),
    };
    first_service_address(&settings)?;
    let authorities = Authorities::generate(settings.cluster_id)?;
    let master = describe(args, settings, identity::random_id()?, true)?;
    let secrets = (identity::service_account_key()?, identity::master_key()?);
    save(&args.dir, &master, &authorities, &secrets.0, &secrets.1)?;
    tracing::info!(name = master.name, cluster = format!("{:016x}", master.settings.cluster_id), "cluster created");
    Ok(master)
}

/// A further master of an existing cluster.
async fn join(args: &ServerArgs, url: &str) -> Result<Master> {
    ensure_empty(&args.dir)?;
    let token = machine::token(args.token.as_deref().unwrap_or_default())?;
    let unknown = Settings {
        cluster_id: 0,
        service_cidr: String::new(),
        cluster_cidr: String::new(),
        cluster_domain: String::new(),
    };
    let mut master = describe(args, unknown, identity::random_id()?, false)?;
    let request = MasterRequest {
        token: token.to_string(),
        name: master.name.clone(),
        member_id: master.member_id,
        peer_url: master.url(master.ports.peer),
        client_url: master.url(master.ports.client),
    };
    let response: MasterResponse = join::client::post(url, MASTER_PATH, &token, &request).await?;
    master.settings = response.settings;
    let authorities = Authorities::from_pairs(response.authorities)?;
    save(&args.dir, &master, &authorities, &response.service_account_key, &response.master_key)?;
    tracing::info!(name = master.name, member = format!("{:016x}", master.member_id), "joined");
    Ok(master)
}

fn describe(args: &ServerArgs, settings: Settings, member_id: u64, first: bool) -> Result<Master> {
    let name = args.name.clone().map_or_else(machine::name, Ok)?;
    let address = args.advertise_address.map_or_else(machine::address, Ok)?;
    let ports = Ports { api: args.api_port, client: args.client_port, peer: args.peer_port };
    Ok(Master::new(settings, member_id, name, address, ports, first))
}

/// Writes everything a master is; its identity comes last.
fn save(
    dir: &Path,
    master: &Master,
    authorities: &Authorities,
    service_account_key: &str,
    master_key: &[u8; 32],
) -> Result<()> {
    let pki = dir.join("pki");
    files::private_folder(dir)?;
    files::private_folder(&pki)?;
    authorities.save(&pki)?;
    master.issue(authorities, first_service_address(&master.settings)?, &pki)?;
    files::write_durably(&pki.join("service-account.key"), service_account_key.as_bytes(), 0o600)?;
    files::write_durably(&dir.join("master.key"), master_key, 0o600)?;
    master.save(dir)
}

fn ensure_empty(dir: &Path) -> Result<()> {
    let in_use = dir.join("data").exists() || dir.join("master.json").exists();
    ensure!(!in_use, "{} is in use: name an empty folder with --dir", dir.display());
    Ok(())
}

fn read_master_key(dir: &Path) -> Result<[u8; 32]> {
    let path = dir.join("master.key");
    let key =
        fs::read(&path).with_context(|| format!("cannot read {}: copy it from another master", path.display()))?;
    key.try_into().map_err(|_| anyhow::anyhow!("{} is damaged: copy it from another master", path.display()))
}

/// The address of the Service `kubernetes`.
fn first_service_address(settings: &Settings) -> Result<IpAddr> {
    let cidr: Cidr =
        settings.service_cidr.parse().with_context(|| format!("--service-cidr {}", settings.service_cidr))?;
    cidr.nth(1).with_context(|| format!("--service-cidr {} is too small: use at least a /28", settings.service_cidr))
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
        tls: store::Tls { ca_pem: authorities.store.cert().to_owned(), cert_pem: identity.cert, key_pem: identity.key },
        start,
        timing: store::Timing::default(),
        limits: store::Limits::default(),
    })
}

/// A new cluster's tokens; their files come last, so that whoever waits for them finds a cluster that serves.
async fn first_tokens(dir: &Path, service: &JoinService) -> Result<()> {
    let folder = dir.join("tokens");
    files::private_folder(&folder)?;
    for (role, name) in [(Role::Master, "master"), (Role::Node, "node")] {
        let expires = in_hours(FIRST_TOKENS_HOURS)?;
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
    let pki = dir.join("pki");
    let authorities = Authorities::load(&pki)?;
    let (token, record) = Token::generate(authorities.cluster.cert(), role, in_hours(hours)?, uses)?;
    let access =
        etcd::Access { authority: authorities.store.cert().to_owned(), identity: Pair::load(&pki, "etcd-client")? };
    let put = join::service::put_record(&token, &record)?;
    let url = master.url(master.ports.client);
    access.kv(&url)?.put(put).await.with_context(|| format!("the master does not answer at {url}: is it running?"))?;
    Ok(token.to_string())
}

fn in_hours(hours: u32) -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock is before 1970")?;
    Ok((now + Duration::from_secs(u64::from(hours) * 3600)).as_secs())
}
