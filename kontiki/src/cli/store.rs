//! Flags of the commands that look after the store: its backups and its state.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};

use super::MasterArgs;
use crate::snapshot::schedule::Schedule;

/// More often, backups would keep the disk busy.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Which cluster a command talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// A cluster's folder, or a master's [default: .kontiki, or else /var/lib/kontiki/server]
    #[arg(long, env = "KONTIKI_DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Flags of `kontiki store`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// What can be asked of the store.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum StoreCommand {
    /// Show every member: leader, learner, log, lag, size, disk, alarms
    Status(TargetArgs),
}

/// Flags of `kontiki snapshot`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    pub(crate) command: SnapshotCommand,
}

/// What can be done with snapshots.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum SnapshotCommand {
    /// Save the state of a running cluster to a file
    Save(SaveArgs),
    /// Read a file to its end, check all of it, and say what it holds
    Verify {
        /// The backup
        file: PathBuf,
    },
    /// Make a new master that begins with a backup
    Restore(RestoreArgs),
}

/// Flags of `kontiki snapshot save`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SaveArgs {
    /// The file to write; it must not exist
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Flags of `kontiki snapshot restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// The new master's folder, empty
    #[arg(long, default_value = "/var/lib/kontiki/server", env = "KONTIKI_SERVER_DIR")]
    pub(crate) dir: PathBuf,
    /// A folder of a master of the cluster that was saved, or a copy of its master.json, master.key and pki/
    #[arg(long)]
    pub(crate) keys_from: PathBuf,
    /// Revisions to skip, so that whoever watched the old cluster reads anew; 0 skips none
    #[arg(long, default_value_t = store::restore::REVISIONS_SKIPPED, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) skip_revisions: i64,
    #[command(flatten)]
    pub(crate) master: MasterArgs,
}

/// Flags of `kontiki recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArgs {
    /// The surviving master's folder; the master must be stopped
    #[arg(long, default_value = "/var/lib/kontiki/server", env = "KONTIKI_SERVER_DIR")]
    pub(crate) dir: PathBuf,
    /// Do it; without this, only show what would be done
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Backups that a master makes by itself.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupArgs {
    /// Save a backup this often, like 6h or 30m
    #[arg(long, env = "KONTIKI_SNAPSHOT_EVERY")]
    pub(crate) snapshot_every: Option<String>,
    /// Where to keep them; <dir>/snapshots by default
    #[arg(long, env = "KONTIKI_SNAPSHOT_DIR", requires = "snapshot_every")]
    pub(crate) snapshot_dir: Option<PathBuf>,
    /// How many to keep
    #[arg(long, env = "KONTIKI_SNAPSHOT_KEEP", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) snapshot_keep: u32,
}

impl BackupArgs {
    /// What the flags ask for, if anything.
    pub(crate) fn schedule(&self, dir: &Path) -> Result<Option<Schedule>> {
        let Some(every) = &self.snapshot_every else { return Ok(None) };
        let parsed: jiff::SignedDuration = every
            .parse()
            .with_context(|| format!("--snapshot-every {every} is no duration: write it like 6h or 30m"))?;
        let every: Duration = parsed.try_into().with_context(|| format!("--snapshot-every {every} is negative"))?;
        ensure!(every >= INTERVAL_MIN, "--snapshot-every must be at least {} s", INTERVAL_MIN.as_secs());
        let dir = self.snapshot_dir.clone().unwrap_or_else(|| dir.join("snapshots"));
        Ok(Some(Schedule { every, keep: self.snapshot_keep as usize, dir }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_duration_of_some_length() {
        let args = |every: Option<&str>| BackupArgs {
            snapshot_every: every.map(str::to_owned),
            snapshot_dir: None,
            snapshot_keep: 3,
        };
        let dir = Path::new("/master");
        assert!(args(None).schedule(dir).unwrap().is_none());
        let schedule = args(Some("1h 30m")).schedule(dir).unwrap().unwrap();
        assert_eq!((schedule.every, schedule.keep), (Duration::from_secs(5400), 3));
        assert_eq!(schedule.dir, Path::new("/master/snapshots"));
        for bad in ["soon", "-1h", "1s", ""] {
            assert!(args(Some(bad)).schedule(dir).is_err(), "{bad}");
        }
    }
}
