//! Files, as far as a member needs them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::engine::{Engine, EngineError};

/// A file system. What is written is durable only after the file was flushed, and a name only after its folder was.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder and those above it.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// What is in a folder, in order.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Opens an existing file to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a new file, in place of an older one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file or folder another name, in place of an older file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all in it; one that is not there is fine.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn flush_folder(&self, path: &Path) -> io::Result<()>;

    /// The rows of a checkpoint, in a folder of their own.
    fn rows(&self, folder: &Path) -> Result<Box<dyn Engine>, EngineError>;

    /// Bytes that can still be written below a folder, where that is known.
    fn free_bytes(&self, _folder: &Path) -> Option<u64> {
        None
    }

    /// How long the next flush of the log takes; a real one is simply waited for.
    fn flush_time(&self) -> Duration {
        Duration::ZERO
    }

    /// A write or flush of the log failed: nobody knows what the disk holds, and only a restart reads it anew. Ends the
    /// process, or what stands for one.
    fn give_up(&self, error: &io::Error);
}

/// An open file. Closing is dropping.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer, or fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once all that was written is durable (fdatasync).
    fn flush(&self) -> io::Result<()>;
}

/// Reads a file from its beginning.
pub(crate) struct DiskReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    length: u64,
}

impl DiskReader {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let length = file.length()?;
        Ok(Self { file, at: 0, length })
    }

    /// All of a file.
    pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
        let file = disk.open(path)?;
        let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl io::Read for DiskReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let part = buffer.len().min(left);
        self.file.read_at(&mut buffer[..part], self.at)?;
        self.at += part as u64;
        Ok(part)
    }
}

/// Writes a file that is there whole, or not at all.
pub(crate) fn write_durably(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    let file = disk.create(&temporary)?;
    file.write_at(bytes, 0)?;
    file.flush()?;
    disk.rename(&temporary, &folder.join(name))?;
    disk.flush_folder(folder)
}
