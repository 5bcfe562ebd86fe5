//! `kontiki leave`: a master gives up its place, and its process ends.
//!
//! The folder is marked first: so the process that notices its removal knows that it was meant, and neither it nor a later
//! start comes back by itself.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::{files, identity::Master, target::Target};

const MARK: &str = "left";

/// Removes the master of this folder from its cluster.
pub(crate) async fn run(dir: &Path) -> Result<String> {
    let master = Master::load(dir)?
        .with_context(|| format!("{} holds no master: run this on one, with its --dir", dir.display()))?;
    let target = Target::of_master(dir, &master)?;
    let (_, url) = target.masters.first().context("a master has a URL")?;
    let members = target.access.members(url, true).await;
    let members = members.with_context(|| format!("the master does not answer at {url}: is it running?"))?;
    ensure!(members.len() > 1, "{} is the only master: to end the cluster, stop it and remove its folder", master.name);
    files::write_durably(&dir.join(MARK), b"this master has left its cluster\n", 0o600)?;
    if let Err(error) = target.access.remove_member(url, master.member_id).await {
        std::fs::remove_file(dir.join(MARK)).context("the mark of leaving cannot be removed")?;
        return Err(error).context("the cluster did not let this master go");
    }
    Ok(format!(
        "{} has left; {} masters remain. Its process ends by itself; {} is not needed any more.",
        master.name,
        members.len() - 1,
        dir.display()
    ))
}

/// Whether the master of this folder has left.
pub(crate) fn has_left(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Refuses to start a master that has left.
pub(crate) fn refuse_former(dir: &Path) -> Result<()> {
    ensure!(!has_left(dir), "the master in {0} has left its cluster: to join again, empty {0}", dir.display());
    Ok(())
}
