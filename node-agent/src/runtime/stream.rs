//! Ends of pipes and terminals, read and written without blocking a thread.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{fs::OFlags, io::Errno};
use tokio::io::{Interest, unix::AsyncFd};

/// One end of a pipe or a terminal; clones are the same end, which closes with the last of them.
#[derive(Debug, Clone)]
pub struct Stream(Arc<AsyncFd<OwnedFd>>);

impl Stream {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&end)?;
        rustix::fs::fcntl_setfl(&end, flags | OFlags::NONBLOCK)?;
        Ok(Self(Arc::new(crate::sys::poll::register(end)?)))
    }

    /// Reads what is there, and waits while nothing is; 0 is the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |end| read(end, buffer)).await
    }

    /// Reads what is there; `None` when nothing is now.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match read(self.0.get_ref(), buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes everything, waiting for room.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = |end: &OwnedFd| Ok(rustix::io::retry_on_intr(|| rustix::io::write(end, bytes))?);
            let written = self.0.async_io(Interest::WRITABLE, write).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Tells a terminal how large its window is; for a pipe it is an error.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(self.0.get_ref().as_fd(), size)?)
    }
}

/// A terminal whose far end nobody holds any more says so by an error; it is its end.
fn read(end: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match rustix::io::retry_on_intr(|| rustix::io::read(end, &mut *buffer)) {
        Err(Errno::IO) => Ok(0),
        result => Ok(result?),
    }
}
