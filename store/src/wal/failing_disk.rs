//! The machine's disk, until it fails.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::world::{Disk, DiskFile, Engine, EngineError, RealDisk};

/// What fails from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    Writes,
    Flushes,
    /// As Linux does it: the pages count as clean afterwards, so the next flush succeeds and has written nothing.
    OneFlush,
}

#[derive(Debug, Default)]
struct State {
    writes: AtomicBool,
    /// So many flushes fail.
    flushes: AtomicUsize,
    gave_up: AtomicUsize,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct FailingDisk(Arc<State>);

impl FailingDisk {
    pub(super) fn fail(&self, what: Failing) {
        match what {
            Failing::Writes => self.0.writes.store(true, Ordering::SeqCst),
            Failing::Flushes => self.0.flushes.store(usize::MAX, Ordering::SeqCst),
            Failing::OneFlush => self.0.flushes.store(1, Ordering::SeqCst),
        }
    }

    /// How often a member gave up.
    pub(super) fn gave_up(&self) -> usize {
        self.0.gave_up.load(Ordering::SeqCst)
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FailingFile { file, state: self.0.clone() })
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Disk for FailingDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(folder)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(RealDisk.open(path)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(RealDisk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_folder(path)
    }
    fn flush_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.flush_folder(path)
    }
    fn rows(&self, folder: &Path) -> Result<Box<dyn Engine>, EngineError> {
        RealDisk.rows(folder)
    }
    fn give_up(&self, _error: &io::Error) {
        self.0.gave_up.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn DiskFile>,
    state: Arc<State>,
}

impl DiskFile for FailingFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.state.writes.load(Ordering::SeqCst) { Err(eio()) } else { self.file.write_at(bytes, offset) }
    }
    fn flush(&self) -> io::Result<()> {
        let fails = self.state.flushes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() { Err(eio()) } else { self.file.flush() }
    }
}
