//! Copies of a container's output for clients that are attached to it.
//!
//! A client that does not keep up slows the container down, as a full terminal does: nothing is dropped and nothing grows.

use std::os::fd::OwnedFd;

use rustix::{fs::OFlags, io::Errno};

/// A pipe to one attached client.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) pipe: OwnedFd,
    /// What the pipe has no room for yet; at most one read of the container's output, or what is left at its end.
    pending: Vec<u8>,
}

/// The client is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Tap {
    pub(crate) fn new(pipe: OwnedFd) -> rustix::io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&pipe)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Self { pipe, pending: Vec::new() })
    }

    /// Whether the client has to read first.
    pub(crate) fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn give(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes as much as the pipe takes.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        let mut written = 0;
        while written < self.pending.len() {
            match rustix::io::write(&self.pipe, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Gone),
            }
        }
        self.pending.drain(..written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::PipeFlags;

    use super::*;

    #[test]
    fn a_client_that_reads_late_gets_every_byte_and_one_that_left_is_noticed() {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut tap = Tap::new(write).unwrap();
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        tap.give(&sent).unwrap();
        assert!(tap.is_full());
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while got.len() < sent.len() {
            let count = rustix::io::read(&read, &mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
            tap.flush().unwrap();
        }
        assert!(got == sent && !tap.is_full());
        // Rust's own runtime ignores the signal of a broken pipe; so does the shim.
        drop(read);
        assert_eq!(tap.give(b"x"), Err(Gone));
    }
}
