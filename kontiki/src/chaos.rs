//! `kontiki chaos`: faults by seed, under clients that notice everything, and a verdict.
//!
//! A run works on a cluster that `kontiki up` started, from outside: it kills and stops processes, drops packets and pulls
//! cables of the hosts, while writers and watchers use both APIs as users do ([`writer`], [`registers`], [`watchers`]) and
//! probes look at what the user runs ([`probes`]). In the end the [`oracles`] judge what was seen ([`evidence`]).
//!
//! **Heals always.** How to undo a fault is on disk before the fault is made ([`record`]), a [`guard`] that outlives the
//! run undoes it however the run ends, and the kernel itself forgets packet filters after a while.
//!
//! Reading order: [`faults`], [`schedule`], [`run`], [`oracles`], [`report`].

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{
    cli::{ChaosArgs, ChaosCommand},
    up::cluster::Cluster,
};

mod api;
mod drive;
mod evidence;
mod faults;
mod guard;
mod injection;
pub mod linearizability;
mod manual;
mod observer;
mod oracles;
mod plan;
mod preflight;
mod probes;
mod record;
mod registers;
mod report;
mod run;
mod schedule;
mod service;
mod session;
mod together;
mod upgrade;
mod victims;
mod watchers;
mod workload;
mod writer;

pub(crate) use faults::DEFAULT as DEFAULT_FAULTS;
pub use writer::{Acknowledged, History, Place, Writer};

/// A mistake on the command line: nothing was done, and the exit code is 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

/// Runs a command; false when a run broke a promise.
pub(crate) async fn command(args: ChaosArgs, say: &mut dyn FnMut(&str)) -> Result<bool> {
    match args.command {
        ChaosCommand::Run(args) => return run::run(&args, say).await,
        ChaosCommand::List => manual::list(say),
        ChaosCommand::Kill(args) => manual::kill(&args, say).await?,
        ChaosCommand::Pause(args) => manual::pause(&args, say).await?,
        ChaosCommand::Cut(args) => manual::cut(&args, say).await?,
        ChaosCommand::Heal(args) => manual::heal(&args.dir, say).await?,
        ChaosCommand::Guard(args) => guard::run(&args.dir)?,
    }
    Ok(true)
}

/// Undoes what a killed run left, where there is any; processes are left to the caller. A run that is under way is not
/// disturbed.
pub(crate) fn heal_leftovers(cluster: &Cluster, say: &mut dyn FnMut(&str)) -> Result<()> {
    if record::load(cluster)?.is_empty() {
        return Ok(());
    }
    match record::hold(cluster)? {
        Some(_held) => {
            for undone in record::heal_all_but_starts(cluster)? {
                say(&format!("Healed what `kontiki chaos` left: {}", undone.describe()));
            }
        }
        None => say("A run of `kontiki chaos` is under way: its faults are left to it"),
    }
    Ok(())
}

/// The cluster of a folder, for somebody who may hurt it.
fn cluster(dir: &Path) -> Result<Cluster> {
    let missing = || format!("there is no cluster in {}: start one with `kontiki up`", dir.display());
    let cluster = Cluster::load(dir)?.with_context(missing)?;
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "kontiki chaos changes processes and networks of hosts, which needs root: run it with `sudo`"
    );
    Ok(cluster)
}
