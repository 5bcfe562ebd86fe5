//! Makes the next segment before it is needed, so that the writer neither allocates nor zeroes while others wait for it.
//!
//! A flush into blocks that were never written must also commit their allocation; into zero-filled ones it is one write.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use parking_lot::Mutex;

const ZEROS: usize = 256 << 10;

/// A file of zeros, or of stale records nothing can read, under a name of its own.
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) length: u64,
}

/// A thread that keeps one segment ready.
pub(super) struct Preparer {
    wanted: mpsc::SyncSender<u64>,
    ready: mpsc::Receiver<io::Result<Spare>>,
    asked: Option<u64>,
    recycled: Arc<Mutex<Option<Spare>>>,
    dir: PathBuf,
}

impl Preparer {
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        let (wanted, requests) = mpsc::sync_channel::<u64>(1);
        let (answers, ready) = mpsc::sync_channel(1);
        let recycled: Arc<Mutex<Option<Spare>>> = Arc::default();
        let (folder, pool) = (dir.to_path_buf(), recycled.clone());
        std::thread::Builder::new().name("wal-prepare".into()).spawn(move || {
            while let Ok(length) = requests.recv() {
                let kept = pool.lock().take_if(|spare| spare.length >= length);
                let spare = match kept {
                    Some(spare) => Ok(spare),
                    None => zeroed(&folder, "prepared", length),
                };
                if answers.send(spare).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { wanted, ready, asked: None, recycled, dir: dir.to_path_buf() })
    }

    /// Asks for a segment; a second call before `take` changes nothing.
    pub(super) fn want(&mut self, length: u64) {
        if self.asked.is_none() && self.wanted.try_send(length).is_ok() {
            self.asked = Some(length);
        }
    }

    /// A segment of `length` bytes at least.
    pub(super) fn take(&mut self, length: u64) -> io::Result<Spare> {
        self.want(length);
        while self.asked.take().is_some() {
            let spare =
                self.ready.recv().map_err(|_| io::Error::other("the thread that prepares segments has ended"))??;
            if spare.length >= length {
                return Ok(spare);
            }
            std::fs::remove_file(&spare.path)?;
        }
        zeroed(&self.dir, "large", length)
    }

    /// Keeps a segment no reader holds for reuse; at most one waits.
    pub(super) fn recycle(&self, spare: Spare) -> io::Result<()> {
        let replaced = self.recycled.lock().replace(spare);
        match replaced {
            Some(replaced) => std::fs::remove_file(&replaced.path),
            None => Ok(()),
        }
    }
}

fn zeroed(dir: &Path, name: &str, length: u64) -> io::Result<Spare> {
    let path = dir.join(format!("{name}.spare"));
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    let zeros = vec![0; ZEROS];
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    file.sync_all()?;
    Ok(Spare { path, file, length })
}
