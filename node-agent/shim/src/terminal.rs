//! The terminal of a container's first process, made by the process itself inside its own `/dev/pts`, so that its name
//! there is right; the near end travels to the shim.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Gid, Mode, OFlags, Uid},
    io::Result,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};

use crate::sys;

/// The group of terminals, as in the mount options of `/dev/pts`.
const TTY_GROUP: u32 = 5;

/// Makes a terminal that belongs to `uid`, sends its near end through `console` and returns its far end. Runs between
/// clone and exec.
pub(crate) fn open(console: BorrowedFd<'_>, uid: u32) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let near = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty())?;
    let far = sys::far_end(near.as_fd())?;
    rustix::fs::fchown(&far, Some(Uid::from_raw(uid)), Some(Gid::from_raw(TTY_GROUP)))?;
    let files = [near.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    rustix::net::sendmsg(console, &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(far)
}

/// Takes the near end that [`open`] sent; nothing if none came.
pub(crate) fn receive(console: &OwnedFd) -> Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(console, &mut parts, &mut control, flags)?;
    let files = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    Ok(files)
}
