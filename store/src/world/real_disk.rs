//! The file system of the machine.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{Disk, DiskFile};
use crate::engine::{Engine, EngineError, sled::Sled};

/// How long a file waits for a descriptor. Connections give theirs back when they end; a process that has none for longer is of
/// no use to anybody.
const DESCRIPTORS_PATIENCE: Duration = Duration::from_secs(30);
const DESCRIPTORS_PAUSE: Duration = Duration::from_millis(20);

/// Tries again while there is no descriptor for it: nothing was done to the file then. A member that gave up its log for want of
/// one could be ended by anybody who opens enough connections.
fn with_descriptor<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + DESCRIPTORS_PATIENCE;
    loop {
        match open() {
            Err(error) if has_no_descriptor(&error) && Instant::now() < deadline => {
                thread::park_timeout(DESCRIPTORS_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn has_no_descriptor(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found =
            with_descriptor(|| fs::read_dir(folder))?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        found.sort_unstable();
        Ok(found)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(with_descriptor(|| OpenOptions::new().read(true).write(true).open(path))?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let open = || OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path);
        Ok(Arc::new(with_descriptor(open)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match with_descriptor(|| fs::remove_dir_all(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn flush_folder(&self, path: &Path) -> io::Result<()> {
        with_descriptor(|| File::open(path))?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> Option<u64> {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn rows(&self, folder: &Path) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(Sled::open(folder)?))
    }

    fn give_up(&self, _error: &io::Error) {
        std::process::abort();
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        // Also the length and whatever else reading back needs; only times may be lost.
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_descriptor_is_tried_again_and_nothing_else_is() {
        let mut tries = 0;
        let opened = with_descriptor(|| {
            tries += 1;
            match tries {
                1 => Err(Errno::MFILE.into()),
                2 => Err(Errno::NFILE.into()),
                _ => Ok(tries),
            }
        });
        assert_eq!(opened.unwrap(), 3);
        let mut tries = 0;
        let failed: io::Result<()> = with_descriptor(|| {
            tries += 1;
            Err(Errno::IO.into())
        });
        assert_eq!((failed.unwrap_err().raw_os_error(), tries), (Some(Errno::IO.raw_os_error()), 1));
    }
}
