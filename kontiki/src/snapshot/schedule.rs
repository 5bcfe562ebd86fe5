//! Backups that a master makes by itself: every so often, the newest few are kept.
//!
//! Each master saves what it has, with no quorum needed, so that the newest backup of any master is never older than the
//! interval. A backup that fails is told and tried again at the next turn; the older ones stay.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::files;

/// Every file of the folder that this module may remove ends so.
const SUFFIX: &str = ".snapshot";

/// When, where and how many.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) every: Duration,
    pub(crate) keep: usize,
    pub(crate) dir: PathBuf,
}

/// Saves until told to end.
pub(crate) async fn run(store: Store, schedule: Schedule, stop: CancellationToken) -> Result<()> {
    files::private_folder(&schedule.dir)?;
    let mut ticks = tokio::time::interval(schedule.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // Nothing applied yet: the cluster is being joined.
        if store.view().position().is_none() {
            continue;
        }
        let (store, schedule) = (store.clone(), schedule.clone());
        match tokio::task::spawn_blocking(move || save(&store, &schedule)).await? {
            Ok(file) => tracing::info!(file = %file.display(), "saved a backup"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "a backup failed; the next turn tries again"),
        }
    }
}

fn save(store: &Store, schedule: &Schedule) -> Result<PathBuf> {
    let name = api::clock::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    let file = schedule.dir.join(format!("{name}{SUFFIX}"));
    store.save_snapshot(&file).with_context(|| format!("cannot write {}", file.display()))?;
    prune(&schedule.dir, schedule.keep)?;
    Ok(file)
}

/// Removes all but the newest backups, and what a crash left unfinished.
fn prune(dir: &Path, keep: usize) -> Result<()> {
    let mut backups = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(SUFFIX) {
            backups.push(path);
        } else if name.ends_with(".unfinished") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    // The names are times, so their order is the order in which they were made.
    backups.sort();
    for path in backups.iter().rev().skip(keep) {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_nobody_elses_files_are_touched() {
        let dir = tempfile::tempdir().unwrap();
        for day in 1..=5 {
            fs::write(dir.path().join(format!("2026-01-0{day}T00-00-00Z{SUFFIX}")), "").unwrap();
        }
        for name in ["notes.txt", "2026-01-06T00-00-00Z.unfinished"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        prune(dir.path(), 2).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["2026-01-04T00-00-00Z.snapshot", "2026-01-05T00-00-00Z.snapshot", "notes.txt"]);
    }
}
