//! One fault by hand: it stays until it is healed.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::{
    cluster,
    faults::{self, link, process},
    observer::Observer,
    record::{self, Undo},
};
use crate::{
    cli::VictimArgs,
    etcd::Access,
    up::cluster::{Cluster, Host},
};

/// How long it may take to find out who leads.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// The faults, one line each.
pub(crate) fn list(say: &mut dyn FnMut(&str)) {
    for fault in faults::ALL {
        say(&format!("{:<18} {}", fault.name, fault.about));
    }
}

/// Kills the process of a host.
pub(crate) async fn kill(args: &VictimArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let victim = Victim::find(args).await?;
    let running = process::of(&victim.cluster, &victim.host.name, victim.role)?;
    record::add(&victim.cluster, &[Undo::Start(victim.host.name.clone(), victim.role.to_owned())])?;
    process::signal(&running, Signal::SIGKILL).await?;
    victim.tell("was killed", "start it again", say).await;
    Ok(())
}

/// Stops the process of a host.
pub(crate) async fn pause(args: &VictimArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let victim = Victim::find(args).await?;
    let running = process::of(&victim.cluster, &victim.host.name, victim.role)?;
    record::add(&victim.cluster, &[Undo::Continue(running)])?;
    process::signal(&running, Signal::SIGSTOP).await?;
    victim.tell("stands still", "let it go on", say).await;
    Ok(())
}

/// Pulls the cable of a host.
pub(crate) async fn cut(args: &VictimArgs, say: &mut dyn FnMut(&str)) -> Result<()> {
    let victim = Victim::find(args).await?;
    record::add(&victim.cluster, &[Undo::PlugIn(victim.host.name.clone())])?;
    link::set(&victim.cluster, &victim.host.name, false)?;
    victim.tell("is cut off", "plug it in", say).await;
    Ok(())
}

/// Undoes everything that is written down.
pub(crate) async fn heal(dir: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    let cluster = cluster(dir)?;
    let held = record::hold_patiently(&cluster)?;
    let Some(_held) = held else {
        bail!("a run of `kontiki chaos` is under way: it heals by itself; end it with Ctrl-C");
    };
    let (undone, _) = record::heal(&cluster)?;
    if undone.is_empty() {
        say("There is nothing to heal.");
    }
    for undone in undone {
        say(&format!("Healed: {}", undone.describe()));
    }
    Ok(())
}

/// A host that is about to be hit.
struct Victim {
    cluster: Cluster,
    host: Host,
    role: &'static str,
    observer: Observer,
    leader: Option<(String, u64)>,
    _held: record::Hold,
}

impl Victim {
    async fn find(args: &VictimArgs) -> Result<Self> {
        let cluster = cluster(&args.folder.dir)?;
        let Some(held) = record::hold_patiently(&cluster)? else {
            bail!("another `kontiki chaos` is at work on this cluster: wait until it ends");
        };
        let observer = Observer::start(&cluster, &Access::load(&cluster.dir.join("etcd"))?);
        let leader = until(async || observer.leader()).await;
        let name = match args.victim.as_str() {
            "leader" => leader.as_ref().context("no master leads: `kontiki status` shows more")?.0.clone(),
            "follower" => {
                let (leader, _) = leader.as_ref().context("no master leads: `kontiki status` shows more")?;
                let runs = |host: &&Host| process::of(&cluster, &host.name, "server").is_ok();
                let mut followers = cluster.masters().filter(|host| host.name != *leader).filter(runs);
                followers.next().context("there is no follower that runs")?.name.clone()
            }
            host => host.to_owned(),
        };
        let Some(host) = cluster.hosts.iter().find(|host| host.name == name).cloned() else {
            let known: Vec<&str> = cluster.hosts.iter().map(|host| host.name.as_str()).collect();
            return Err(super::Usage(format!(
                "there is no host {name}: name leader, follower, or one of {}",
                known.join(", ")
            ))
            .into());
        };
        let role = if host.master { "server" } else { "agent" };
        Ok(Self { cluster, host, role, observer, leader, _held: held })
    }

    /// Says what was done, who leads now if that has changed, and how to undo it.
    async fn tell(&self, what: &str, undo: &str, say: &mut dyn FnMut(&str)) {
        let Host { name, .. } = &self.host;
        let began = Instant::now();
        match &self.leader {
            Some((leader, term)) if leader == name => {
                say(&format!("{name} {what}; it led term {term}."));
                let other =
                    until(async || self.observer.leader().filter(|(other, now)| other != leader && now > term)).await;
                match other {
                    Some((other, term)) => {
                        say(&format!("{other} leads term {term} after {:.2} s.", began.elapsed().as_secs_f64()));
                    }
                    None => say(&format!("Nobody else leads after {} s.", PATIENCE.as_secs())),
                }
            }
            _ => say(&format!("{} of {name} {what}.", self.role)),
        }
        say(&format!("`kontiki chaos heal` to {undo}."));
    }
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            None if Instant::now() < deadline => sleep(PAUSE).await,
            found => return found,
        }
    }
}
