//! Members that somebody else started: a folder says where they are.
//!
//! ```text
//! <folder>/ca.crt, client.crt, client.key   what a client shows and trusts
//! <folder>/urls, <folder>/pids              one line for each member
//! ```

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use kontiki::EtcdAccess;
use nix::sys::signal::Signal;

use super::server::Members;

/// Members that outlive the bench.
pub struct Running {
    access: EtcdAccess,
    urls: Vec<String>,
    pids: Vec<i32>,
}

impl Running {
    /// Reads the folder.
    ///
    /// # Errors
    /// When a file is missing.
    pub fn load(folder: &Path) -> Result<Self> {
        let urls = fs::read_to_string(folder.join("urls")).context("urls")?.lines().map(str::to_owned).collect();
        let pids = fs::read_to_string(folder.join("pids")).context("pids")?;
        let pids = pids.lines().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { access: EtcdAccess::load(folder)?, urls, pids })
    }
}

impl Members for Running {
    fn access(&self) -> &EtcdAccess {
        &self.access
    }

    fn urls(&self) -> &[String] {
        &self.urls
    }

    fn pid(&self, member: usize) -> Result<i32> {
        self.pids.get(member).copied().context("fewer pids than urls")
    }

    fn end(&mut self, _member: usize, _signal: Signal) -> Result<()> {
        bail!("members that the bench has not started are not ended by it: leave the faults out")
    }

    fn start(&mut self) -> Result<()> {
        bail!("the bench cannot start these members")
    }
}
