//! Faults of a process: killed, ended, stopped.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::up::{cluster::Cluster, process::Process};

/// How long a signal may take to be obeyed. One that is killed gives its memory back first; one that ends in order waits for
/// its connections.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// The process of this role on a host, which must run.
pub(crate) fn of(cluster: &Cluster, host: &str, role: &str) -> Result<Process> {
    let process = Process::load(&cluster.process_file(host, role)).filter(Process::is_alive);
    process.with_context(|| format!("{role} on {host} does not run: start it with `kontiki up`"))
}

/// Sends the signal and waits until the process has obeyed: it has ended, or stands still.
pub(crate) async fn signal(process: &Process, signal: Signal) -> Result<()> {
    process.signal(signal)?;
    until(|| obeyed(process, signal), || format!("process {} does not obey {signal}", process.pid())).await
}

/// Waits until the process has ended.
pub(crate) async fn ended(process: &Process) -> Result<()> {
    until(|| !process.is_alive(), || format!("process {} does not end", process.pid())).await
}

async fn until(is_so: impl Fn() -> bool, what: impl Fn() -> String) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            bail!("{} within {PATIENCE:?}", what());
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

fn obeyed(process: &Process, signal: Signal) -> bool {
    match signal {
        Signal::SIGSTOP => is_stopped(process),
        _ => !process.is_alive(),
    }
}

/// Whether it stands still by SIGSTOP (proc(5), `stat`, field 3).
pub(crate) fn is_stopped(process: &Process) -> bool {
    let path = Path::new("/proc").join(process.pid().to_string()).join("stat");
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_stopped_goes_on_and_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!is_stopped(&process));
        signal(&process, Signal::SIGSTOP).await.unwrap();
        assert!(is_stopped(&process) && process.is_alive());
        process.signal(Signal::SIGCONT).unwrap();
        signal(&process, Signal::SIGKILL).await.unwrap();
        child.wait().unwrap();
        assert!(!is_stopped(&process));
    }
}
