//! Waiting for descriptors that tokio has no type for.
#![allow(unsafe_code, reason = "tokio leaves it to the caller that the descriptor stays open")]

use std::{io, os::fd::OwnedFd};

use tokio::io::unix::AsyncFd;

/// Lets tokio wait for a descriptor.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and has the same number until it is dropped, and the `AsyncFd` that owns it takes the
    // registration back first.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
