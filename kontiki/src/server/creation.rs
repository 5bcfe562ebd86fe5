//! How a folder becomes a master's: by creating a cluster, or by joining one.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use apiserver::Cidr;

use crate::{
    cli::{MasterArgs, ServerArgs},
    files,
    identity::{self, Master, Ports, Settings},
    join::{self, MASTER_PATH, MasterRequest, MasterResponse},
    machine,
    pki::Authorities,
    token::Token,
};

/// A new cluster, of this master alone.
pub(super) fn create(args: &ServerArgs) -> Result<Master> {
    ensure_empty(&args.dir)?;
    let settings = Settings {
        cluster_id: identity::random_id()?,
        service_cidr: args.service_cidr.clone(),
        cluster_cidr: args.cluster_cidr.clone(),
        cluster_domain: args.cluster_domain.clone(),
        predecessors: Vec::new(),
    };
    first_service_address(&settings)?;
    let authorities = Authorities::generate(settings.cluster_id)?;
    let master = describe(&args.master, settings, identity::random_id()?, true)?;
    let secrets = (identity::service_account_key()?, identity::master_key()?);
    save(&args.dir, &master, &authorities, &secrets.0, &secrets.1)?;
    tracing::info!(name = master.name, cluster = format!("{:016x}", master.settings.cluster_id), "cluster created");
    Ok(master)
}

/// A further master of an existing cluster.
pub(super) async fn join(args: &ServerArgs, url: &str) -> Result<Master> {
    ensure_empty(&args.dir)?;
    let token = machine::token(args.token.as_deref().unwrap_or_default())?;
    let unknown = Settings {
        cluster_id: 0,
        service_cidr: String::new(),
        cluster_cidr: String::new(),
        cluster_domain: String::new(),
        predecessors: Vec::new(),
    };
    let master = describe(&args.master, unknown, identity::random_id()?, false)?;
    admit(&args.dir, master, url, &token, None).await
}

/// Asks to be admitted, and writes down what the answer makes of this master.
pub(super) async fn admit(
    dir: &Path,
    mut master: Master,
    url: &str,
    token: &Token,
    replaces: Option<u64>,
) -> Result<Master> {
    let request = MasterRequest {
        token: token.to_string(),
        name: master.name.clone(),
        member_id: master.member_id,
        peer_url: master.url(master.ports.peer),
        client_url: master.url(master.ports.client),
        replaces,
    };
    let response: MasterResponse = join::client::post(url, MASTER_PATH, token, &request).await?;
    master.settings = response.settings;
    master.introduced = response.members;
    let authorities = Authorities::from_pairs(response.authorities)?;
    save(dir, &master, &authorities, &response.service_account_key, &response.master_key)?;
    tracing::info!(name = master.name, member = format!("{:016x}", master.member_id), "joined");
    Ok(master)
}

/// The master, at the address that was given to this start: others are told, and its certificates name it.
pub(super) fn at_address(args: &ServerArgs, mut master: Master) -> Result<Master> {
    let Some(address) = args.master.advertise_address.filter(|address| *address != master.address) else {
        return Ok(master);
    };
    tracing::info!(former = %master.address, now = %address, "this master has another address");
    master.address = address;
    let pki = args.dir.join("pki");
    master.issue(&Authorities::load(&pki)?, first_service_address(&master.settings)?, &pki)?;
    master.save(&args.dir)?;
    Ok(master)
}

/// A master as the flags and this machine say.
pub(crate) fn describe(args: &MasterArgs, settings: Settings, member_id: u64, first: bool) -> Result<Master> {
    let name = machine::name(args.name.as_deref())?;
    let address = args.advertise_address.map_or_else(machine::address, Ok)?;
    let ports = Ports { api: args.api_port, client: args.client_port, peer: args.peer_port };
    Ok(Master::new(settings, member_id, name, address, ports, first))
}

/// Writes everything a master is; its identity comes last.
pub(crate) fn save(
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

/// Refuses a folder that holds a master, or a part of one.
pub(crate) fn ensure_empty(dir: &Path) -> Result<()> {
    let in_use = dir.join("data").exists() || dir.join("master.json").exists();
    ensure!(!in_use, "{} is in use: name an empty folder with --dir", dir.display());
    Ok(())
}

/// The key that wraps the keys of Secrets.
pub(crate) fn read_master_key(dir: &Path) -> Result<[u8; 32]> {
    let path = dir.join("master.key");
    let key =
        fs::read(&path).with_context(|| format!("cannot read {}: copy it from another master", path.display()))?;
    key.try_into().map_err(|_| anyhow::anyhow!("{} is damaged: copy it from another master", path.display()))
}

/// The address of the Service `kubernetes`.
pub(crate) fn first_service_address(settings: &Settings) -> Result<IpAddr> {
    let cidr: Cidr =
        settings.service_cidr.parse().with_context(|| format!("--service-cidr {}", settings.service_cidr))?;
    cidr.nth(1).with_context(|| format!("--service-cidr {} is too small: use at least a /28", settings.service_cidr))
}
