//! The shim's program, carried inside the agent.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

use rustix::fs::{MemfdFlags, SealFlags};

static SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kontiki-shim"));

/// The shim in a sealed memory file: nothing on disk that could be changed or sit on a mount without execution, and an
/// upgraded agent leaves running shims their own copy.
#[derive(Debug)]
pub(super) struct ShimProgram(OwnedFd);

impl ShimProgram {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(sealed_file("kontiki-shim", SHIM)?))
    }

    /// A path that leads a child process to the program.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// A memory file with `bytes`, which nobody can change any more, read from its beginning.
pub(super) fn sealed_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}
