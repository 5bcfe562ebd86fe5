//! Makes the next segment before it is needed, so that the writer neither allocates nor zeroes while others wait for it.
//!
//! A flush into blocks that were never written must also commit their allocation; into zero-filled ones it is one write.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use parking_lot::Mutex;

use super::reserve::{Reserve, is_full};
use crate::world::{Disk, DiskFile, Threads, World};

const ZEROS: usize = 256 << 10;

/// A file of zeros, or of stale records nothing can read, under a name of its own.
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) length: u64,
}

/// Keeps one segment ready.
pub(super) struct Preparer {
    /// `None` where there are no threads: then segments are made when they are needed.
    thread: Option<Thread>,
    recycled: Arc<Mutex<Option<Spare>>>,
    reserve: Arc<Reserve>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

struct Thread {
    wanted: mpsc::SyncSender<u64>,
    ready: mpsc::Receiver<io::Result<Spare>>,
    asked: Option<u64>,
}

impl Preparer {
    pub(super) fn start(world: &World, dir: &Path, reserve: Arc<Reserve>) -> io::Result<Self> {
        let recycled: Arc<Mutex<Option<Spare>>> = Arc::default();
        let (disk, dir) = (world.disk.clone(), dir.to_path_buf());
        let thread = match world.threads {
            Threads::System => Some(Thread::start(disk.clone(), dir.clone(), recycled.clone())?),
            Threads::None => None,
        };
        Ok(Self { thread, recycled, reserve, disk, dir })
    }

    /// Asks for a segment; a second call before `take` changes nothing.
    pub(super) fn want(&mut self, length: u64) {
        if let Some(thread) = &mut self.thread
            && thread.asked.is_none()
            && thread.wanted.try_send(length).is_ok()
        {
            thread.asked = Some(length);
        }
    }

    /// A segment of `length` bytes, or of `needed` at least where the disk has no room for more.
    pub(super) fn take(&mut self, length: u64, needed: u64) -> io::Result<Spare> {
        match self.make(length) {
            Err(error) if is_full(&error) => self.reserve.take(needed).ok_or(error),
            made => made,
        }
    }

    fn make(&mut self, length: u64) -> io::Result<Spare> {
        self.want(length);
        if let Some(thread) = &mut self.thread
            && thread.asked.take().is_some()
        {
            let spare =
                thread.ready.recv().map_err(|_| io::Error::other("the thread that prepares segments has ended"))??;
            if spare.length >= length {
                return Ok(spare);
            }
            self.disk.remove(&spare.path)?;
        }
        zeroed(&*self.disk, self.dir.join("large.spare"), length)
    }

    /// Keeps a segment no reader holds for reuse; at most one waits.
    pub(super) fn recycle(&self, spare: Spare) -> io::Result<()> {
        let replaced = self.recycled.lock().replace(spare);
        match replaced {
            Some(replaced) => self.disk.remove(&replaced.path),
            None => Ok(()),
        }
    }
}

impl Thread {
    fn start(disk: Arc<dyn Disk>, dir: PathBuf, recycled: Arc<Mutex<Option<Spare>>>) -> io::Result<Self> {
        let (wanted, requests) = mpsc::sync_channel::<u64>(1);
        let (answers, ready) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("wal-prepare".into()).spawn(move || {
            while let Ok(length) = requests.recv() {
                let kept = recycled.lock().take_if(|spare| spare.length >= length);
                let spare = match kept {
                    Some(spare) => Ok(spare),
                    None => zeroed(&*disk, dir.join("prepared.spare"), length),
                };
                if answers.send(spare).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { wanted, ready, asked: None })
    }
}

/// A new file of zeros; where they do not fit, nothing is left of it.
pub(super) fn zeroed(disk: &dyn Disk, path: PathBuf, length: u64) -> io::Result<Spare> {
    let file = disk.create(&path)?;
    let fill = || {
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < length {
            let part = usize::try_from(length - at).unwrap_or(usize::MAX).min(zeros.len());
            file.write_at(&zeros[..part], at)?;
            at += part as u64;
        }
        file.flush()
    };
    match fill() {
        Ok(()) => Ok(Spare { path, file, length }),
        Err(error) => {
            disk.remove(&path)?;
            Err(error)
        }
    }
}
