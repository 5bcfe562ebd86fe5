//! Processes that outlive the command that started them, found again by process id and start time.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::files;

/// A process, known by its id and its start time: an id alone may have been given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks after boot (proc(5), `stat`, field 22).
    start_time: u64,
}

impl Process {
    /// The process with this id, if it exists and is not about to end: it may take a while after it was killed, until the
    /// kernel has taken its memory back.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        // The command's name, in brackets, may hold anything: fields are counted after its last bracket.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let flags: u64 = fields.nth(5)?.parse().ok()?;
        let start_time = fields.nth(12)?.parse().ok()?;
        let ends = matches!(state, "Z" | "X") || flags & EXITING != 0 || is_killed(pid);
        (!ends).then_some(Self { pid, start_time })
    }

    /// Reads what [`Process::save`] wrote.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Records the process.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        files::write_durably(path, &serde_json::to_vec(self)?, 0o600)
    }

    /// Its id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Self::find(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {}", self.pid)),
        }
    }
}

/// `PF_EXITING` of the kernel's `include/linux/sched.h`.
const EXITING: u64 = 4;
/// The bit of SIGKILL, which is signal 9 on every Linux.
const KILL_BIT: u64 = 1 << 8;

/// Whether SIGKILL waits for the process's first thread (proc(5), `status`: masks in which bit 0 is signal 1).
fn is_killed(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")));
    masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & (KILL_BIT) != 0)
}

/// Starts `program` in a network namespace, detached from this terminal, with its output in `log` and one variable more.
pub(crate) fn spawn_in_netns(
    netns: &Path,
    program: &Path,
    arguments: &[String],
    (variable, value): (&str, &Path),
    log: &Path,
) -> Result<Child> {
    let namespace = File::open(netns).with_context(|| format!("no network namespace {}", netns.display()))?;
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.env(variable, value);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    // Only the thread that starts the child enters the namespace, and it ends with that.
    let start = move || -> Result<Child> {
        setns(&namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
        command.spawn().context("cannot start the process")
    };
    std::thread::spawn(start).join().map_err(|_| anyhow::anyhow!("the thread that starts a process panicked"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_only_while_it_runs() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.is_alive());
        assert!(!Process { start_time: process.start_time + 1, ..process }.is_alive());
        process.signal(Signal::SIGKILL).unwrap();
        assert!(!process.is_alive(), "not even before the kernel is done with it");
        child.wait().unwrap();
        assert!(!process.is_alive());
        process.signal(Signal::SIGKILL).unwrap();
    }
}
