//! The user's own workload: a command that runs while faults come and go.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::record;
use crate::up::cluster::Cluster;

/// How long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The running command; dropping it ends it.
pub(crate) struct Workload {
    child: Child,
    log: PathBuf,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// It ran until it was told to end.
    Asked,
    /// It ended by itself, with success.
    Done,
    /// It failed, and said this last.
    Failed(String),
}

impl Workload {
    /// Starts it in a process group of its own, with the cluster's kubeconfig and with its output in a file.
    pub(crate) fn start(command: &str, cluster: &Cluster) -> Result<Self> {
        let log = record::folder(cluster)?.join("workload.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new("sh")
            .args(["-c", command])
            .env("KUBECONFIG", cluster.dir.join("kubeconfig"))
            .env("KONTIKI_DIR", &cluster.dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("cannot run sh")?;
        Ok(Self { child, log })
    }

    /// Ends it if it runs, and tells how it went.
    pub(crate) fn finish(mut self) -> Result<Ended> {
        Ok(match self.child.try_wait()? {
            None => {
                self.end()?;
                Ended::Asked
            }
            Some(status) if status.success() => Ended::Done,
            Some(status) => Ended::Failed(self.last_words(status)),
        })
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("{status}: {} (see {})", said.lines().last().unwrap_or_default(), self.log.display())
    }

    fn end(&mut self) -> Result<()> {
        let group = Pid::from_raw(i32::try_from(self.child.id())?);
        signal(group, Signal::SIGTERM)?;
        let deadline = Instant::now() + GRACE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                signal(group, Signal::SIGKILL)?;
                self.child.wait()?;
            } else {
                pause();
            }
        }
        Ok(())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.end()
        {
            tracing::warn!(%error, "the workload could not be ended");
        }
    }
}

fn signal(group: Pid, signal: Signal) -> Result<()> {
    match killpg(group, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("the workload cannot be ended"),
    }
}

#[allow(clippy::disallowed_methods, reason = "the pause between two looks at a condition that has a deadline")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_told_from_one_that_was_ended() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::plan(dir.path().into(), 7, 40_000, 1, 0, false);
        let running = Workload::start("sleep 60", &cluster).unwrap();
        assert!(matches!(running.finish().unwrap(), Ended::Asked));
        let mut failing = Workload::start("echo no luck; exit 4", &cluster).unwrap();
        failing.child.wait().unwrap();
        let Ended::Failed(why) = failing.finish().unwrap() else { panic!("it did not fail") };
        assert!(why.contains("no luck") && why.contains('4'), "{why}");
    }
}
