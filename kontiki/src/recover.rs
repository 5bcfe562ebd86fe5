//! `kontiki recover`: a new group from one surviving master, when too many of the others are lost for good.
//!
//! What only the lost masters had is lost; so it is refused as long as a quorum could still come together, it shows what it
//! would do before it does it, and it takes over everything in the survivor's log. The group it makes is a new one in the
//! old cluster: same authorities, keys and objects, another cluster id. A lost master that turns up again meets that in the
//! survivor's certificate, and stops.
//!
//! ```text
//! <dir>/data.recovered          the new group's data, whole
//! <dir>/master.json.recovered   the master's new identity: from here on the recovery is finished after any crash
//! <dir>/data.before-recovery    the data as it was
//! ```

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use proto::etcdserverpb::StatusResponse;
use store::{
    Member, Owner, View,
    restore::{self, Contents},
};

use crate::{
    cli::RecoverArgs,
    files,
    identity::{self, Master},
    pki::Authorities,
    server, snapshot,
    target::Target,
};

const IDENTITY: &str = "master.json.recovered";
const RECOVERED: &str = "data.recovered";
const BEFORE: &str = "data.before-recovery";

/// Shows what a recovery would do, and does it with `--yes`.
pub(crate) async fn run(args: &RecoverArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let dir = &args.dir;
    let _lock = files::lock(dir).context("a recovery needs the master stopped")?;
    finish(dir)?;
    let master = Master::load(dir)?.with_context(|| format!("{} holds no master", dir.display()))?;
    let owner = Owner { cluster_id: master.settings.cluster_id, member_id: master.member_id };
    let (view, contents) = restore::of_stopped_member(&dir.join("data"), owner).await?;
    let survey = Survey::make(dir, &master, &contents).await?;
    say(&survey.text());
    survey.check(&contents)?;
    if !args.yes {
        say("Nothing was changed. To do this, run the same command with --yes.");
        return Ok(());
    }
    prepare(dir, &master, view).await?;
    finish(dir)?;
    say(&format!(
        "Recovered. Start this master with `kontiki server --dir {}`, and let others join it with a token. Empty the folders of \
         the lost masters before they join; the data as it was is in {}.",
        dir.display(),
        dir.join(BEFORE).display()
    ));
    Ok(())
}

/// What is known of the group.
struct Survey<'a> {
    master: &'a Master,
    contents: &'a Contents,
    others: Vec<Other<'a>>,
}

/// Another member, and what it answers.
struct Other<'a> {
    member: &'a Member,
    status: Option<StatusResponse>,
    /// It gave an answer that only a quorum can give.
    has_quorum: bool,
}

impl<'a> Survey<'a> {
    async fn make(dir: &Path, master: &'a Master, contents: &'a Contents) -> Result<Self> {
        let access = &Target::of_master(dir, master)?.access;
        let others = contents.members.iter().filter(|member| member.id != master.member_id);
        let asked = others.map(|member| async move {
            let Some(url) = member.client_urls.first() else {
                return Other { member, status: None, has_quorum: false };
            };
            let (status, members) = tokio::join!(access.status(url), access.members(url, true));
            Other { member, status: status.ok(), has_quorum: members.is_ok() }
        });
        Ok(Self { master, contents, others: futures_util::future::join_all(asked).await })
    }

    fn text(&self) -> String {
        let Contents { position, revision, keys, .. } = self.contents;
        let mut text = format!(
            "{} has everything up to term {}, index {}: {keys} keys at revision {revision}.\n",
            self.master.name, position.term, position.index
        );
        for Other { member, status, has_quorum } in &self.others {
            let role = if member.learner { "learner" } else { "voter" };
            let state = match status {
                None => "does not answer".to_owned(),
                Some(status) if *has_quorum => format!("answers with a quorum, at index {}", status.raft_index),
                Some(status) => format!("answers without a quorum, at index {}", status.raft_index),
            };
            text.push_str(&format!("{} ({role}, {}) {state}.\n", member.name, member.client_urls.join(", ")));
        }
        text.push_str(&format!(
            "A recovery makes {} the only master of a new group. Writes that it does not have are lost for good; the other \
             masters are refused, and join anew with empty folders.",
            self.master.name
        ));
        text
    }

    /// Refuses what would lose more than is lost already.
    fn check(&self, contents: &Contents) -> Result<()> {
        if let Some(Other { member, .. }) = self.others.iter().find(|other| other.has_quorum) {
            bail!("{} answers with a quorum: start this master, there is nothing to recover", member.name);
        }
        let voters = contents.members.iter().filter(|member| !member.learner).count();
        let own = contents.members.iter().any(|member| member.id == self.master.member_id && !member.learner);
        let answering = self.others.iter().filter(|other| !other.member.learner && other.status.is_some()).count();
        let reachable = answering + usize::from(own);
        ensure!(
            reachable < voters / 2 + 1,
            "{reachable} of {voters} voters are there with this one, which is a quorum: start this master instead"
        );
        let has_more = |other: &&Other<'_>| {
            other.status.as_ref().is_some_and(|status| status.raft_index > contents.position.index)
        };
        if let Some(Other { member, .. }) = self.others.iter().find(has_more) {
            bail!("{} has more of the log than this master: stop it, and recover there", member.name);
        }
        Ok(())
    }
}

/// Makes the new group's data and the master's new identity, beside what there is.
async fn prepare(dir: &Path, master: &Master, view: View) -> Result<()> {
    let settings = master.settings.succeeded(identity::random_id()?);
    let new = Master::new(settings, identity::random_id()?, master.name.clone(), master.address, master.ports, true);
    let (data, heir) = (dir.join(RECOVERED), snapshot::heir(&new));
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    tokio::task::spawn_blocking(move || restore::plant(&data, &view, &heir, restore::REVISIONS_SKIPPED)).await??;
    new.save_as(&dir.join(IDENTITY))
}

/// Carries a prepared recovery out; nothing to do where there is none. Each step may be cut short and done again.
pub(crate) fn finish(dir: &Path) -> Result<()> {
    let path = dir.join(IDENTITY);
    let Some(master) = Master::load_file(&path)? else { return Ok(()) };
    let (data, recovered, before) = (dir.join("data"), dir.join(RECOVERED), dir.join(BEFORE));
    let moved = || -> std::io::Result<()> {
        if !recovered.exists() {
            return Ok(());
        }
        if data.exists() {
            if before.exists() {
                fs::remove_dir_all(&before)?;
            }
            fs::rename(&data, &before)?;
        }
        fs::rename(&recovered, &data)?;
        fs::File::open(dir)?.sync_all()
    };
    moved().context("the recovered data cannot be put in place")?;
    let pki = dir.join("pki");
    master.issue(&Authorities::load(&pki)?, server::first_service_address(&master.settings)?, &pki)?;
    let tokens = dir.join("tokens");
    if tokens.exists() {
        fs::remove_dir_all(&tokens).context("the old tokens cannot be removed")?;
    }
    master.save(dir)?;
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}
