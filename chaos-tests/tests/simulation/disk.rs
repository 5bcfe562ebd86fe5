//! A disk in memory that forgets what was not flushed when the power goes.
//!
//! The bytes of a file change at once, as in the page cache; each write remembers what it replaced until the file is flushed.
//! When the power goes, every unflushed write is kept, lost or torn at a sector, and of the names that were changed since
//! their folder was flushed only the first few stay changed. A process that merely dies loses nothing.

mod rows;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use store::world::{Disk, DiskFile, Engine, EngineError};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use rows::Rows;

const SECTOR: usize = 512;

/// What the disk did, so that a run can prove that its faults bit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wear {
    pub(crate) flushes: u64,
    pub(crate) writes_lost: u64,
    pub(crate) writes_torn: u64,
    pub(crate) names_lost: u64,
    pub(crate) errors: u64,
    pub(crate) slow_flushes: u64,
}

impl Wear {
    pub(crate) fn add(&mut self, other: Self) {
        self.flushes += other.flushes;
        self.writes_lost += other.writes_lost;
        self.writes_torn += other.writes_torn;
        self.names_lost += other.names_lost;
        self.errors += other.errors;
        self.slow_flushes += other.slow_flushes;
    }
}

#[derive(Debug)]
struct Undo {
    offset: usize,
    replaced: Vec<u8>,
    length_before: usize,
    length: usize,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    unflushed: Vec<Undo>,
}

#[derive(Debug)]
enum NameChange {
    /// The name meant this before.
    Set(PathBuf, Option<Arc<Mutex<Content>>>),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    names_unflushed: Vec<Vec<NameChange>>,
    rows: BTreeMap<PathBuf, Rows>,
    /// Writes and flushes of the log fail.
    broken: bool,
    /// A flush takes this long.
    flush: Duration,
    wear: Wear,
}

/// The disk of one machine; it outlives the processes that use it.
#[derive(Clone, Debug)]
pub(crate) struct Platter {
    state: Arc<Mutex<State>>,
    chance: Chance,
}

impl Platter {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { state: Arc::default(), chance }
    }

    /// As one process sees it, until that process dies.
    pub(crate) fn mount(&self, alive: CancellationToken) -> Arc<dyn Disk> {
        Arc::new(Mounted { platter: self.clone(), alive })
    }

    pub(crate) fn break_down(&self) {
        self.state.lock().broken = true;
    }

    pub(crate) fn slow_down(&self, flush: Duration) {
        self.state.lock().flush = flush;
    }

    /// Whether a loss of power now would lose something.
    pub(crate) fn has_unflushed(&self) -> bool {
        let state = self.state.lock();
        !state.names_unflushed.is_empty() || state.files.values().any(|content| !content.lock().unflushed.is_empty())
    }

    pub(crate) fn repair(&self) {
        let mut state = self.state.lock();
        (state.broken, state.flush) = (false, Duration::ZERO);
    }

    pub(crate) fn wear(&self) -> Wear {
        self.state.lock().wear
    }

    /// What was not flushed is kept, lost or torn.
    pub(crate) fn lose_power(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let groups = std::mem::take(&mut state.names_unflushed);
        let kept = self.chance.below(groups.len() + 1);
        for change in groups.into_iter().skip(kept).rev().flat_map(|group| group.into_iter().rev()) {
            let NameChange::Set(name, before) = change;
            state.wear.names_lost += 1;
            match before {
                Some(content) => state.files.insert(name, content),
                None => state.files.remove(&name),
            };
        }
        for content in state.files.values() {
            let mut content = content.lock();
            for undo in std::mem::take(&mut content.unflushed).into_iter().rev() {
                match self.chance.below(3) {
                    0 => {}
                    1 => {
                        state.wear.writes_lost += 1;
                        content.undo(&undo, 0);
                    }
                    _ => {
                        state.wear.writes_torn += 1;
                        let sectors = undo.length.div_ceil(SECTOR);
                        content.undo(&undo, self.chance.below(sectors + 1) * SECTOR);
                    }
                }
            }
        }
        for rows in state.rows.values() {
            rows.lose_power();
        }
    }
}

impl Content {
    /// Takes back a write, but for its first bytes.
    fn undo(&mut self, undo: &Undo, kept: usize) {
        let from = (undo.offset + kept.min(undo.length)).min(self.bytes.len());
        for (at, byte) in undo.replaced.iter().enumerate().skip(kept) {
            if let Some(slot) = self.bytes.get_mut(undo.offset + at) {
                *slot = *byte;
            }
        }
        if undo.length_before < undo.offset + undo.length {
            self.bytes.truncate(undo.length_before.max(from));
        }
    }
}

#[derive(Debug)]
struct Mounted {
    platter: Platter,
    alive: CancellationToken,
}

fn gone() -> io::Error {
    io::Error::other("the process is dead")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

impl Mounted {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        if self.alive.is_cancelled() { Err(gone()) } else { Ok(self.platter.state.lock()) }
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(Open { content, platter: self.platter.clone(), alive: self.alive.clone() })
    }
}

impl Disk for Mounted {
    fn create_folder(&self, _path: &Path) -> io::Result<()> {
        self.state().map(drop)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state()?;
        let mut found: Vec<PathBuf> = Vec::new();
        for path in state.files.keys().chain(state.rows.keys()) {
            let first = path.strip_prefix(folder).ok().and_then(|below| below.iter().next());
            found.extend(first.map(|first| folder.join(first)));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.state()?.files.get(path).cloned().ok_or_else(|| missing(path))?;
        Ok(self.file(content))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state()?;
        let content = Arc::<Mutex<Content>>::default();
        let before = state.files.insert(path.to_path_buf(), content.clone());
        state.names_unflushed.push(vec![NameChange::Set(path.to_path_buf(), before)]);
        drop(state);
        Ok(self.file(content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(rows) = state.rows.remove(from) {
            state.rows.insert(to.to_path_buf(), rows);
            return Ok(());
        }
        let content = state.files.remove(from).ok_or_else(|| missing(from))?;
        let before = state.files.insert(to.to_path_buf(), content.clone());
        // Both names change together or not at all.
        let group = vec![NameChange::Set(from.to_path_buf(), Some(content)), NameChange::Set(to.to_path_buf(), before)];
        state.names_unflushed.push(group);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        let content = state.files.remove(path).ok_or_else(|| missing(path))?;
        state.names_unflushed.push(vec![NameChange::Set(path.to_path_buf(), Some(content))]);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        state.files.retain(|file, _| !file.starts_with(path));
        state.rows.retain(|folder, _| !folder.starts_with(path));
        Ok(())
    }

    fn flush_folder(&self, _path: &Path) -> io::Result<()> {
        // One journal for the whole disk, as file systems have it: a flush makes everything before it durable.
        self.state()?.names_unflushed.clear();
        Ok(())
    }

    fn rows(&self, folder: &Path) -> Result<Box<dyn Engine>, EngineError> {
        let mut state = self.state().map_err(rows::failed)?;
        let chance = &self.platter.chance;
        let rows = state.rows.entry(folder.to_path_buf()).or_insert_with(|| Rows::new(chance.fork())).clone();
        Ok(Box::new(rows.opened(self.alive.clone())))
    }

    fn flush_time(&self) -> Duration {
        let mut state = self.platter.state.lock();
        state.wear.flushes += 1;
        if state.flush.is_zero() {
            return self.platter.chance.millis(0..2);
        }
        state.wear.slow_flushes += 1;
        state.flush
    }

    fn give_up(&self, _error: &io::Error) {
        self.alive.cancel();
    }
}

#[derive(Debug)]
struct Open {
    content: Arc<Mutex<Content>>,
    platter: Platter,
    alive: CancellationToken,
}

impl Open {
    fn check(&self) -> io::Result<()> {
        if self.alive.is_cancelled() { Err(gone()) } else { Ok(()) }
    }

    fn check_writable(&self) -> io::Result<()> {
        self.check()?;
        let mut state = self.platter.state.lock();
        if state.broken {
            state.wear.errors += 1;
            return Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32));
        }
        Ok(())
    }
}

impl DiskFile for Open {
    fn length(&self) -> io::Result<u64> {
        self.check()?;
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.check()?;
        let content = self.content.lock();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.bytes.get(from..from + buffer.len());
        buffer.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut content = self.content.lock();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let (length_before, end) = (content.bytes.len(), offset + bytes.len());
        let replaced = content.bytes.get(offset..end.min(length_before)).unwrap_or_default().to_vec();
        if end > length_before {
            content.bytes.resize(end, 0);
        }
        content.bytes[offset..end].copy_from_slice(bytes);
        content.unflushed.push(Undo { offset, replaced, length_before, length: bytes.len() });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.check_writable()?;
        self.content.lock().unflushed.clear();
        Ok(())
    }
}
