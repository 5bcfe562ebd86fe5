//! How a master comes back whose place in the cluster is gone, or whose data is damaged.
//!
//! A member that was removed, or that misses something it once promised, must never go on as the member it was. It sets its
//! data aside and joins as a new member, which learns everything from the others. Where its data is damaged it does so by
//! itself, with the certificates it has; where somebody removed it, only if a token was given at its start.
//!
//! ```text
//! <dir>/started               the member whose data was here once: where it is missing, it is lost
//! <dir>/peers.json            where the other masters were last
//! <dir>/master.json.former    who this master was: rejoining is under way while it is there
//! <dir>/data.set-aside        the data of that member; one is kept
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use store::Departure;
use tokio_util::sync::CancellationToken;

use super::{creation, token_through};
use crate::{
    cli::ServerArgs,
    files,
    identity::{self, Master},
    join::service::JoinService,
    machine,
    token::{Role, Token},
};

const FORMER: &str = "master.json.former";
const SET_ASIDE: &str = "data.set-aside";
const PEERS: &str = "peers.json";
const STARTED: &str = "started";
/// How often the addresses of the other masters are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a master lost.
#[derive(Debug)]
pub(super) enum Loss {
    /// Somebody removed it.
    Removed,
    /// Its cluster was replaced by another one.
    Succeeded(u64),
    /// Its state differs from the leader's.
    Differs,
    /// Its data cannot be read.
    Damaged(anyhow::Error),
}

impl From<Departure> for Loss {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Removed => Self::Removed,
            Departure::Succeeded(by) => Self::Succeeded(by),
            Departure::Corrupt => Self::Differs,
        }
    }
}

/// Where the other masters were last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers {
    /// URLs of their etcd ports.
    stores: Vec<String>,
    /// URLs of their API servers.
    apis: Vec<String>,
}

impl Peers {
    fn load(dir: &Path) -> Self {
        // Without the file there is nobody to ask, and that is said where somebody would be asked.
        fs::read(dir.join(PEERS)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}

/// Notes that this member's data is there from now on.
pub(super) fn remember_start(dir: &Path, master: &Master) -> Result<()> {
    let (path, id) = (dir.join(STARTED), started(master));
    if fs::read_to_string(&path).is_ok_and(|known| known == id) {
        return Ok(());
    }
    files::write_durably(&path, id.as_bytes(), 0o600)
}

/// That the data is missing which this member once had. With an empty log in its place it would vote again where it has voted,
/// and deny what it has acknowledged.
pub(super) fn data_is_gone(dir: &Path, master: &Master) -> Option<Loss> {
    let was_there = fs::read_to_string(dir.join(STARTED)).is_ok_and(|known| known == started(master));
    let data = dir.join("data");
    let log = data.join("wal");
    let gone = was_there && !log.is_dir();
    gone.then(|| Loss::Damaged(anyhow::anyhow!("{} is gone", if data.exists() { log } else { data }.display())))
}

fn started(master: &Master) -> String {
    format!("{:016x}\n", master.member_id)
}

/// Keeps `peers.json` true: it is outside the data, so that it is there when the data is not.
pub(super) async fn remember_peers(dir: PathBuf, service: Arc<JoinService>, stop: CancellationToken) -> Result<()> {
    let mut known = Peers::load(&dir);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let own = service.store.status().member_id;
        let members = service.store.members();
        let others = members.into_iter().filter(|member| member.id != own);
        let stores: Vec<String> = others.flat_map(|member| member.client_urls).collect();
        // Nobody is heard of where no quorum is: what was known is the better answer then.
        let Ok(masters) = service.masters().await else { continue };
        let own = service.api_address.to_string();
        let apis = masters.into_iter().filter(|api| *api != own).map(|api| format!("https://{api}")).collect();
        let found = Peers { stores, apis };
        // Half of it is known while this master starts.
        let whole = !found.stores.is_empty() && !found.apis.is_empty();
        if whole && found != known {
            match files::write_durably(&dir.join(PEERS), &serde_json::to_vec_pretty(&found)?, 0o600) {
                Ok(()) => known = found,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the other masters' addresses are not kept"),
            }
        }
    }
}

/// Sets the data aside and joins as a new member, where this master may; says what to do where it may not.
pub(super) async fn rejoin(args: &ServerArgs, master: &Master, loss: Loss) -> Result<Master> {
    let by_itself = matches!(loss, Loss::Differs | Loss::Damaged(_));
    match &loss {
        Loss::Removed => tracing::error!("this master was removed from its cluster"),
        Loss::Succeeded(by) => {
            tracing::error!(by = format!("{by:016x}"), "this master's cluster was replaced by a restore or a recovery");
        }
        Loss::Differs => tracing::error!("this master's state differs from the leader's"),
        Loss::Damaged(error) => tracing::error!(error = format!("{error:#}"), "this master's data is damaged"),
    }
    let has_token = args.join.is_some() && args.token.is_some();
    let has_peers = by_itself && !Peers::load(&args.dir).apis.is_empty();
    if !has_token && !has_peers {
        let dir = args.dir.display();
        match loss {
            Loss::Damaged(error) => return Err(error).context("the store did not start"),
            Loss::Differs => bail!("this master's state differs from the leader's: empty {dir} and join with a token"),
            Loss::Removed => bail!(
                "this master was removed from its cluster and has stopped; to come back as a new member, start it with \
                 --join and --token, or empty {dir}"
            ),
            Loss::Succeeded(by) => bail!(
                "this master's cluster was replaced by cluster {by:016x}; to become a member of that, start it with --join and \
                 --token, or empty {dir}"
            ),
        }
    }
    // From here on it is nobody, until it has joined.
    fs::rename(args.dir.join("master.json"), args.dir.join(FORMER)).context("cannot set master.json aside")?;
    resume_as(args, master, by_itself).await
}

/// Whether a rejoining was cut short.
pub(super) fn is_under_way(dir: &Path) -> bool {
    dir.join(FORMER).exists()
}

/// Goes on where a rejoining was cut short.
pub(super) async fn resume(args: &ServerArgs) -> Result<Master> {
    let path = args.dir.join(FORMER);
    let former = Master::load_file(&path)?.with_context(|| format!("cannot read {}", path.display()))?;
    resume_as(args, &former, true).await
}

async fn resume_as(args: &ServerArgs, former: &Master, by_itself: bool) -> Result<Master> {
    set_data_aside(&args.dir)?;
    let new = Master::new(
        former.settings.clone(),
        identity::random_id()?,
        former.name.clone(),
        former.address,
        former.ports,
        false,
    );
    let (url, token) = invitation(args, by_itself).await?;
    let replaces = Some(former.member_id);
    let master = creation::admit(&args.dir, new, &url, &token, replaces).await?;
    fs::remove_file(args.dir.join(FORMER)).context("cannot remove the former master.json")?;
    tracing::info!(
        name = master.name,
        former = format!("{:016x}", former.member_id),
        member = format!("{:016x}", master.member_id),
        "rejoined as a new member; the old data is set aside"
    );
    Ok(master)
}

/// The data of the former member goes out of the way; of those that were set aside earlier nothing is kept.
fn set_data_aside(dir: &Path) -> Result<()> {
    let (data, aside) = (dir.join("data"), dir.join(SET_ASIDE));
    if !data.exists() {
        return Ok(());
    }
    let moved = || -> std::io::Result<()> {
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        fs::rename(&data, &aside)?;
        fs::File::open(dir)?.sync_all()
    };
    moved().with_context(|| format!("cannot move {} to {}", data.display(), aside.display()))
}

/// Whom to ask for admission, and with what.
async fn invitation(args: &ServerArgs, by_itself: bool) -> Result<(String, Token)> {
    if let (Some(url), Some(token)) = (&args.join, &args.token) {
        return Ok((url.clone(), machine::token(token)?));
    }
    let peers = Peers::load(&args.dir);
    if !by_itself || peers.apis.is_empty() {
        bail!("no other master is known: start this one with --join and --token");
    }
    let mut failures = Vec::new();
    for store in &peers.stores {
        match token_through(&args.dir, store, Role::Master, 1, 1).await {
            Ok(token) => return Ok((reachable(&peers.apis).await, token)),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    bail!("this master cannot come back by itself: {}", failures.join("; "))
}

/// The first API server that takes a connection; joining itself is patient with the others.
async fn reachable(apis: &[String]) -> String {
    for api in apis {
        let address = api.trim_start_matches("https://");
        let connected = tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address)).await;
        if matches!(connected, Ok(Ok(_))) {
            return api.clone();
        }
    }
    apis.first().cloned().unwrap_or_default()
}
