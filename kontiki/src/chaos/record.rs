//! What was injected and not yet healed, as data in the cluster's folder.
//!
//! A line of it is written, durably, before the fault is made. So whoever comes after a run that was killed (its guard,
//! `kontiki chaos heal`, the next run, `kontiki up`) can undo it; undoing what was never done, or twice, changes nothing.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};
use serde::{Deserialize, Serialize};

use super::faults::{
    cgroup::{self, Short},
    clock, descriptors, filter, link,
};
use crate::{
    files,
    up::{cluster::Cluster, process::Process, start},
};

/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// How long another command may still hold the cluster.
const HOLD_PATIENCE: Duration = Duration::from_secs(3);

/// How one fault is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Undo {
    /// Let all packets of this host pass.
    Unfilter(String),
    /// Bring this host's link up.
    PlugIn(String),
    /// Take the limits off this host's link.
    Unslow(String),
    /// Let the processes of this host take the machine's time.
    SetClock(String),
    /// Let a stopped process go on.
    Continue(Process),
    /// Let this process have so many descriptors.
    Descriptors(Process, u64),
    /// Take everybody out of this host's group that is short of something, back into this one.
    Release(String, Short, PathBuf),
    /// Start this host's server or agent, if it does not run.
    Start(String, String),
    /// The same, when this process has ended: it was told to, and may be at it for a while.
    Restart(String, String, Process),
}

impl Undo {
    fn apply(&self, cluster: &Cluster) -> Result<Option<Child>> {
        match self {
            Self::Unfilter(host) => filter::remove(cluster, host)?,
            Self::PlugIn(host) => link::set(cluster, host, true)?,
            Self::Unslow(host) => link::unslow(cluster, host)?,
            Self::SetClock(host) => clock::reset(cluster, host)?,
            Self::Continue(process) => process.signal(Signal::SIGCONT)?,
            Self::Descriptors(process, limit) => descriptors::restore(process, *limit)?,
            Self::Release(host, short, back) => cgroup::remove(cluster, host, *short, back)?,
            Self::Start(host, role) => return start_if_ended(cluster, host, role),
            Self::Restart(host, role, ending) => {
                kill(ending)?;
                return start_if_ended(cluster, host, role);
            }
        }
        Ok(None)
    }

    /// What it does, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unfilter(host) => format!("{host} gets all its packets again"),
            Self::PlugIn(host) => format!("{host} is plugged in"),
            Self::Unslow(host) => format!("the link of {host} is fast again"),
            Self::SetClock(host) => format!("the clock of {host} is right again"),
            Self::Continue(process) => format!("process {} goes on", process.pid()),
            Self::Descriptors(process, limit) => format!("process {} may open {limit} files", process.pid()),
            Self::Release(host, short, _) => format!("the {} of {host} are its own again", short.of()),
            Self::Start(host, role) | Self::Restart(host, role, _) => format!("{role} on {host} runs"),
        }
    }
}

fn start_if_ended(cluster: &Cluster, name: &str, role: &str) -> Result<Option<Child>> {
    if Process::load(&cluster.process_file(name, role)).is_some_and(|process| process.is_alive()) {
        return Ok(None);
    }
    let host = cluster.hosts.iter().find(|host| host.name == name);
    let host = host.with_context(|| format!("there is no host {name}"))?;
    start::again(cluster, host, role).map(Some)
}

/// Ends a process and waits until it has.
fn kill(process: &Process) -> Result<()> {
    process.signal(Signal::SIGKILL)?;
    let deadline = Instant::now() + KILL_PATIENCE;
    while process.is_alive() {
        ensure!(Instant::now() < deadline, "process {} does not end", process.pid());
        pause();
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the pause between two looks at a condition that has a deadline")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// The folder of everything that `kontiki chaos` keeps in a cluster's folder.
pub(crate) fn folder(cluster: &Cluster) -> Result<PathBuf> {
    let folder = cluster.dir.join("chaos");
    files::private_folder(&folder)?;
    Ok(folder)
}

fn path(dir: &Path) -> PathBuf {
    dir.join("chaos/injected.json")
}

/// What is not healed.
pub(crate) fn load(cluster: &Cluster) -> Result<Vec<Undo>> {
    let path = path(&cluster.dir);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes down how to undo what is about to be made.
pub(crate) fn add(cluster: &Cluster, undo: &[Undo]) -> Result<()> {
    let mut all = load(cluster)?;
    all.extend(undo.iter().filter(|one| !all.contains(one)).cloned().collect::<Vec<_>>());
    if all.is_empty() { Ok(()) } else { save(cluster, &all) }
}

/// Forgets how to undo what needs no undoing any more.
pub(crate) fn forget(cluster: &Cluster, done: &[Undo]) -> Result<()> {
    let mut all = load(cluster)?;
    all.retain(|one| !done.contains(one));
    save(cluster, &all)
}

fn save(cluster: &Cluster, all: &[Undo]) -> Result<()> {
    let path = path(&cluster.dir);
    if all.is_empty() {
        return fs::remove_file(path).context("cannot remove the record of faults");
    }
    folder(cluster)?;
    files::write_durably(&path, &serde_json::to_vec_pretty(&all)?, 0o600)
}

/// Undoes everything that is written down: what was undone, and the processes that were started for it. The record goes
/// only when all of it succeeded.
pub(crate) fn heal(cluster: &Cluster) -> Result<(Vec<Undo>, Vec<Child>)> {
    undo(cluster, |_| true)
}

/// The same, without starting processes: `kontiki up` does that by itself.
pub(crate) fn heal_all_but_starts(cluster: &Cluster) -> Result<Vec<Undo>> {
    Ok(undo(cluster, |one| !matches!(one, Undo::Start(..) | Undo::Restart(..)))?.0)
}

/// Undoes one fault of several: what is written down of this and nothing else. Gives the processes that were started for it.
pub(crate) fn heal_one(cluster: &Cluster, fault: &[Undo]) -> Result<Vec<Child>> {
    let written: Vec<Undo> = load(cluster)?.into_iter().filter(|one| fault.contains(one)).collect();
    let started = apply_all(cluster, written.iter())?;
    if !written.is_empty() {
        forget(cluster, &written)?;
    }
    Ok(started)
}

fn undo(cluster: &Cluster, wanted: impl Fn(&Undo) -> bool) -> Result<(Vec<Undo>, Vec<Child>)> {
    let all = load(cluster)?;
    let started = apply_all(cluster, all.iter().filter(|one| wanted(one)))?;
    if !all.is_empty() {
        save(cluster, &[])?;
    }
    Ok((all, started))
}

fn apply_all<'a>(cluster: &Cluster, all: impl Iterator<Item = &'a Undo>) -> Result<Vec<Child>> {
    let (mut started, mut failures) = (Vec::new(), Vec::new());
    for one in all {
        match one.apply(cluster) {
            Ok(child) => started.extend(child),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("not everything could be healed: {}; try `kontiki chaos heal` again", failures.join("; "));
    }
    Ok(started)
}

/// Held while faults are injected or healed: one command at a time. The kernel lets go of it when its holder ends.
pub(crate) struct Hold(#[allow(dead_code, reason = "held, not read")] Flock<File>);

/// Takes hold of a cluster, unless another command holds it.
pub(crate) fn hold(cluster: &Cluster) -> Result<Option<Hold>> {
    let path = folder(cluster)?.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Hold(lock))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The same, with patience: what a killed run had just started may hold on for a moment.
pub(crate) fn hold_patiently(cluster: &Cluster) -> Result<Option<Hold>> {
    let deadline = Instant::now() + HOLD_PATIENCE;
    loop {
        match hold(cluster)? {
            None if Instant::now() < deadline => pause(),
            held => return Ok(held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(dir: &Path) -> Cluster {
        Cluster::plan(dir.into(), 7, 40_000, 1, 0, false)
    }

    #[test]
    fn what_is_recorded_is_undone_once_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        process.save(&dir.path().join("server.pid")).unwrap();
        add(&cluster, &[Undo::Continue(process)]).unwrap();
        add(&cluster, &[Undo::Continue(process)]).unwrap();
        assert_eq!(load(&cluster).unwrap(), [Undo::Continue(process)]);
        process.signal(Signal::SIGSTOP).unwrap();
        assert_eq!(heal(&cluster).unwrap().0, [Undo::Continue(process)]);
        assert!(!crate::chaos::faults::process::is_stopped(&process));
        assert_eq!(heal(&cluster).unwrap().0, []);
        add(&cluster, &[Undo::Continue(process), Undo::PlugIn("m1".into())]).unwrap();
        forget(&cluster, &[Undo::PlugIn("m1".into())]).unwrap();
        assert_eq!(load(&cluster).unwrap(), [Undo::Continue(process)]);
        forget(&cluster, &[Undo::Continue(process)]).unwrap();
        assert_eq!(load(&cluster).unwrap(), []);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_fault_of_two_is_undone_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        for host in ["m1", "w1"] {
            fs::create_dir_all(cluster.host_dir(host)).unwrap();
            add(&cluster, &[Undo::SetClock(host.into())]).unwrap();
            clock::set(&cluster, host, jiff::SignedDuration::from_mins(40)).unwrap();
        }
        heal_one(&cluster, &[Undo::SetClock("m1".into()), Undo::PlugIn("m1".into())]).unwrap();
        assert_eq!(load(&cluster).unwrap(), [Undo::SetClock("w1".into())]);
        assert!(!cluster.clock_file("m1").exists() && cluster.clock_file("w1").exists());
        heal(&cluster).unwrap();
        assert!(!cluster.clock_file("w1").exists());
    }

    #[test]
    fn a_record_that_could_not_be_undone_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        add(&cluster, &[Undo::Start("m9".into(), "server".into())]).unwrap();
        assert!(heal(&cluster).unwrap_err().to_string().contains("m9"));
        assert_eq!(load(&cluster).unwrap().len(), 1);
    }

    #[test]
    fn one_command_holds_a_cluster_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        let held = hold(&cluster).unwrap();
        assert!(held.is_some());
        assert!(hold(&cluster).unwrap().is_none());
        drop(held);
        assert!(hold(&cluster).unwrap().is_some());
    }
}
