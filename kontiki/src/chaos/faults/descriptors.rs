//! Faults of a process's descriptors: it may open none beyond those that it has, and connections wait at its ports in vain.
//!
//! Only the soft limit is lowered, so that it can be raised again.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{net::TcpStream, time::timeout};

use crate::up::process::Process;

const PORT: u16 = 6443;
/// Connections beyond those that use up the descriptors that are left: these wait, also when the process closes a few.
const WAITING: usize = 16;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The state LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// How many descriptors a process may have: its soft limit, and its hard one.
fn limits(process: &Process) -> Result<(u64, u64)> {
    let path = format!("/proc/{}/limits", process.pid());
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line.unwrap_or_default().split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(soft)), Some(Ok(hard))) => Ok((soft, hard)),
        _ => anyhow::bail!("{path} names no limit of open files"),
    }
}

/// How many descriptors a process may have.
pub(crate) fn limit(process: &Process) -> Result<u64> {
    Ok(limits(process)?.0)
}

/// The same from now on; those that it has already stay.
pub(crate) fn set(process: &Process, limit: u64) -> Result<()> {
    // The process's own hard limit stays as it is.
    let (_, hard) = limits(process)?;
    let pid = Pid::from_raw(process.pid()).context("no process has the id 0")?;
    let new = Rlimit { current: Some(limit), maximum: Some(hard) };
    let set = prlimit(Some(pid), Resource::Nofile, new);
    set.map(drop).with_context(|| format!("cannot limit the descriptors of process {}", process.pid()))
}

/// Gives a process its limit back, if it still runs.
pub(crate) fn restore(process: &Process, limit: u64) -> Result<()> {
    match set(process, limit) {
        Err(error) if process.is_alive() => Err(error),
        _ => Ok(()),
    }
}

/// The descriptors that a process has.
pub(crate) fn open(process: &Process) -> Result<BTreeSet<u64>> {
    let path = format!("/proc/{}/fd", process.pid());
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// How many more it may open.
fn left(process: &Process) -> Result<usize> {
    let (limit, open) = (limit(process)?, open(process)?);
    let below = open.range(..limit).count();
    Ok(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(below))
}

/// How many connections wait to be accepted in the network of a process.
fn waiting(process: &Process) -> Result<usize> {
    let path = format!("/proc/{}/net/tcp", process.pid());
    Ok(backlog(&fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?))
}

/// Of a socket that listens, the receive queue is of connections (proc_net_tcp of the kernel's documentation).
fn backlog(table: &str) -> usize {
    let of_line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let listens = fields.next()? == LISTEN;
        let (_, queue) = fields.next()?.split_once(':')?;
        listens.then(|| usize::from_str_radix(queue, 16).ok())?
    };
    table.lines().filter_map(of_line).sum()
}

/// Connections to a process that has no descriptor for them; they end when this is dropped.
#[derive(Default)]
pub(crate) struct Crowd {
    connections: Vec<TcpStream>,
    /// How often none was left and connections waited, and how many waited at most.
    seen: (usize, usize),
}

impl Crowd {
    /// Looks, and connects until connections wait.
    pub(crate) async fn press(&mut self, process: &Process, address: Ipv4Addr) -> Result<()> {
        let (left, waiting) = (left(process)?, waiting(process)?);
        if left == 0 && waiting > 0 {
            self.seen = (self.seen.0 + 1, self.seen.1.max(waiting));
        }
        for _ in waiting..left + WAITING {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect((address, PORT))).await {
                Ok(Ok(connection)) => self.connections.push(connection),
                Ok(Err(_)) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// What shows that descriptors were short for more than a moment.
    pub(crate) fn proof(&self, process: &Process) -> Result<String> {
        ensure!(process.is_alive(), "process {} did not survive it", process.pid());
        let ((looks, most), limit) = (self.seen, limit(process)?);
        ensure!(looks > 1, "it never ran out of its {limit} descriptors");
        Ok(format!("process {} had none of {limit} descriptors left, up to {most} connections waited", process.pid()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeping() -> (Child, Process) {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Before it answers it may still have files to open.
        child.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        (child, process)
    }

    #[test]
    fn a_limit_is_lowered_and_restored_and_nobody_is_missed() {
        let (mut child, process) = sleeping();
        let (soft, hard) = limits(&process).unwrap();
        set(&process, 3).unwrap();
        assert_eq!(limits(&process).unwrap(), (3, hard));
        assert!(open(&process).unwrap().is_superset(&BTreeSet::from([0, 1, 2])));
        assert_eq!(left(&process).unwrap(), 0);
        restore(&process, soft).unwrap();
        assert_eq!(limits(&process).unwrap(), (soft, hard));
        child.kill().unwrap();
        child.wait().unwrap();
        restore(&process, soft).unwrap();
    }

    #[test]
    fn connections_that_wait_are_counted_where_somebody_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 00000000:192B 00000000:0000 0A 00000000:00000011 00:00000000 00000000     0        0 1 1 0 100 0\n   \
                     1: 0BD50A0A:192B 01D50A0A:8F2C 01 00000000:00000022 00:00000000 00000000     0        0 2 1 0 20 4\n   \
                     2: 00000000:094B 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 3 1 0 100 0\n";
        assert_eq!(backlog(table), 18);
    }
}
