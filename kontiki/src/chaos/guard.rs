//! A process that outlives the run and heals when the run is gone, however it went: even by kill -9.
//!
//! It waits on a pipe whose other end only the run holds. It is of a process group of its own, so that Ctrl-C does not
//! reach it. When the run has healed by itself, the record is empty and there is nothing to do.

use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::record;
use crate::up::cluster::Cluster;

/// The guard of this process. Dropping it lets the guard look, and waits for it.
pub(crate) struct Guard {
    pipe: Option<ChildStdin>,
    child: Child,
}

impl Guard {
    /// Starts one; from now on nothing that is recorded stays injected.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .args(["chaos", "guard", "--dir"])
            .arg(&cluster.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the guard")?;
        Ok(Self { pipe: child.stdin.take(), child })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "the guard cannot be waited for");
        }
    }
}

/// The guard's own work.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).context("the pipe broke")?;
    let Some(cluster) = Cluster::load(dir)? else { return Ok(()) };
    if record::load(&cluster)?.is_empty() {
        return Ok(());
    }
    match record::hold_patiently(&cluster)? {
        Some(_held) => record::heal(&cluster).map(drop),
        // Whoever holds it has found the record, too.
        None => Ok(()),
    }
}
