//! A terminal for a program that is run in a container: of the container's own `/dev/pts`, so that its name means the same
//! inside.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    pty::OpenptFlags,
};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: i64 = 0x1cd1;

/// Makes a terminal in the container whose first process is `pid`; returns its near and its far end.
///
/// The container decides what its paths lead to, so they are resolved inside its root, without links, and what is found
/// must be the kernel's own device.
pub(super) fn open(pid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let near = rustix::fs::openat2(&root, "dev/pts/ptmx", flags, Mode::empty(), resolve)?;
    let status = rustix::fs::fstat(&near)?;
    let is_device = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice;
    if !is_device || status.st_rdev != rustix::fs::makedev(5, 2) || rustix::fs::fstatfs(&near)?.f_type != DEVPTS {
        return Err(io::Error::other("the container's /dev/pts/ptmx makes no terminals"));
    }
    rustix::pty::unlockpt(&near)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let far = rustix::pty::ioctl_tiocgptpeer(&near, flags)?;
    Ok((near, far))
}
