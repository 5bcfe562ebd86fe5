//! `kontiki snapshot`: backups of the store, in the format in which masters send each other their state.
//!
//! A backup holds everything that the store holds, Secrets encrypted as they are there. It does not hold what is never in
//! the store: the authorities' keys, the key of service-account tokens and the master key, which a restore takes from a
//! master's folder or a copy of one.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use proto::etcdserverpb::SnapshotRequest;
use store::{
    SNAPSHOT_UP_TO_DATE, View,
    restore::{self, Contents, Heir},
};

use crate::{
    cli::{RestoreArgs, SaveArgs, SnapshotCommand},
    identity::{self, Master},
    pki::Authorities,
    server,
    target::Target,
};

pub(crate) mod schedule;

/// Runs one of the commands.
pub(crate) async fn run(command: SnapshotCommand, say: &mut dyn FnMut(&str)) -> Result<()> {
    match command {
        SnapshotCommand::Save(args) => save(&args, say).await,
        SnapshotCommand::Verify { file } => {
            let contents = inspect(&file).await?.1;
            say(&describe(&file, &contents)?);
            Ok(())
        }
        SnapshotCommand::Restore(args) => {
            let master = restore(&args, say).await?;
            say(&format!(
                "{} holds the new master {}. Start it with `kontiki server --dir {}`; further masters join it with a token, as always.",
                args.dir.display(),
                master.name,
                args.dir.display()
            ));
            Ok(())
        }
    }
}

async fn save(args: &SaveArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let file = &args.file;
    ensure!(!file.exists(), "{} exists: name another file", file.display());
    let target = Target::find(&args.target)?;
    let mut masters = Vec::new();
    for (name, url) in &target.masters {
        let applied = target.access.status(url).await.map_or(0, |status| status.raft_applied_index);
        masters.push((std::cmp::Reverse(applied), name, url));
    }
    // Without a quorum the one that has most is asked first; with one they all have the same to give.
    masters.sort();
    let mut failures = Vec::new();
    for (_, name, url) in masters {
        match download(&target, url, file).await {
            Ok((contents, up_to_date)) => {
                say(&describe(file, &contents)?);
                if !up_to_date {
                    say(&format!(
                        "No quorum answered: this is what {name} has. Writes that only the other masters have are not in it."
                    ));
                }
                return Ok(());
            }
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    bail!("no master gave a snapshot: {}", failures.join("; "))
}

/// Fetches a snapshot into a file, which appears under its name once all of it has been read back and checked.
async fn download(target: &Target, url: &str, file: &Path) -> Result<(Contents, bool)> {
    let unfinished = file.with_added_extension("unfinished");
    let fetched = fetch(target, url, &unfinished).await;
    let done = match fetched {
        Ok(up_to_date) => inspect(&unfinished).await.map(|(_, contents)| (contents, up_to_date)),
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => {
            fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))?;
            fs::File::open(folder_of(file))?.sync_all()?;
            Ok(done)
        }
        Err(error) => {
            // What is wrong with the snapshot is worth telling, not that there was nothing to remove.
            drop(fs::remove_file(&unfinished));
            Err(error)
        }
    }
}

async fn fetch(target: &Target, url: &str, path: &Path) -> Result<bool> {
    let mut client = target.access.snapshots(url)?;
    let response = client.snapshot(SnapshotRequest {}).await?;
    let up_to_date = response.metadata().get(SNAPSHOT_UP_TO_DATE).is_some_and(|said| said == "true");
    let mut pieces = response.into_inner();
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
    while let Some(piece) = pieces.message().await? {
        tokio::task::block_in_place(|| file.write_all(&piece.blob))?;
    }
    tokio::task::block_in_place(|| file.sync_all())?;
    Ok(up_to_date)
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Reads and checks a whole backup.
async fn inspect(file: &Path) -> Result<(View, Contents)> {
    let file = file.to_path_buf();
    Ok(tokio::task::spawn_blocking(move || restore::inspect(&file)).await??)
}

/// What a backup holds, as text.
fn describe(file: &Path, contents: &Contents) -> Result<String> {
    let Contents { owner, position, revision, compacted, keys, past, leases, bytes, hash, members } = contents;
    let size = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    let writer = members.iter().find(|member| member.id == owner.member_id).map_or("a former member", |m| &m.name);
    let mut names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    Ok(format!(
        "{file}: {size} bytes, whole and undamaged\n\
         cluster    {cluster:016x}, written by {writer} ({member:016x})\n\
         revision   {revision}, compacted below {compacted}\n\
         log        term {term}, index {index}\n\
         holds      {keys} keys, {past} older versions, {leases} leases; {bytes} bytes\n\
         hash       {hash:032x}\n\
         members    {names}",
        file = file.display(),
        cluster = owner.cluster_id,
        member = owner.member_id,
        term = position.term,
        index = position.index,
        names = names.join(", "),
    ))
}

/// The keys of a cluster, from the folder of one of its masters.
struct Keys {
    master: Master,
    authorities: Authorities,
    service_account_key: String,
    master_key: [u8; 32],
}

impl Keys {
    fn load(folder: &Path) -> Result<Self> {
        let load = || -> Result<Self> {
            let pki = folder.join("pki");
            let service_account_key = fs::read_to_string(pki.join("service-account.key"))
                .with_context(|| format!("cannot read {}", pki.join("service-account.key").display()))?;
            Ok(Self {
                master: Master::load(folder)?
                    .with_context(|| format!("there is no master.json in {}", folder.display()))?,
                authorities: Authorities::load(&pki)?,
                service_account_key,
                master_key: server::read_master_key(folder)?,
            })
        };
        load().context(
            "a restore needs the cluster's keys, which no backup holds: name with --keys-from the folder of one of its masters, \
             or a copy of master.json, master.key and pki/ from there",
        )
    }

    /// Keys of another cluster would make a cluster whose nodes and Secrets are lost.
    fn check(&self, view: &View, contents: &Contents) -> Result<()> {
        let (ours, theirs) = (&self.master.settings, contents.owner.cluster_id);
        ensure!(
            ours.cluster_id == theirs || ours.predecessors.contains(&theirs),
            "the backup is of cluster {theirs:016x}, the keys are of cluster {:016x}: name the folder of one of its masters",
            ours.cluster_id
        );
        let prefix = apiserver::DATA_KEYS.as_bytes();
        let page =
            view.prefix(prefix, b"", usize::MAX, 0).context("the keys of Secrets cannot be read from the backup")?;
        for row in page.kvs {
            let name = String::from_utf8_lossy(&row.key).into_owned();
            ensure!(
                apiserver::opens_data_key(&self.master_key, &name, &row.value),
                "this master.key does not open {name} of the backup, so its Secrets would be lost: name the folder of a master \
                 with the master key of that time"
            );
        }
        Ok(())
    }
}

/// Makes the folder of a new master that begins with a backup.
pub(crate) async fn restore(args: &RestoreArgs, say: &mut dyn FnMut(&str)) -> Result<Master> {
    server::ensure_empty(&args.dir)?;
    let keys = Keys::load(&args.keys_from)?;
    let (view, contents) = inspect(&args.file).await?;
    keys.check(&view, &contents)?;
    let settings = keys.master.settings.succeeded(identity::random_id()?);
    let master = server::describe(&args.master, settings, identity::random_id()?, true)?;
    let (data, heir, skip) = (args.dir.join("data"), heir(&master), args.skip_revisions);
    crate::files::private_folder(&args.dir)?;
    let planted = tokio::task::spawn_blocking(move || restore::plant(&data, &view, &heir, skip)).await??;
    server::save(&args.dir, &master, &keys.authorities, &keys.service_account_key, &keys.master_key)?;
    say(&format!(
        "Restored {} keys at revision {} as {}; the new cluster is {:016x}, and masters of {:016x} are refused.",
        planted.keys, contents.revision, planted.revision, planted.owner.cluster_id, contents.owner.cluster_id
    ));
    Ok(master)
}

/// The store's member of a master.
pub(crate) fn heir(master: &Master) -> Heir {
    Heir {
        cluster_id: master.settings.cluster_id,
        member_id: master.member_id,
        name: master.name.clone(),
        peer_url: master.url(master.ports.peer),
        client_url: master.url(master.ports.client),
    }
}
