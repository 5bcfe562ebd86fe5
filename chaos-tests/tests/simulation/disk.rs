//! A disk in memory that forgets what was not flushed when the power goes.
//!
//! The bytes of a file change at once, as in the page cache; each write remembers what it replaced until the file is flushed.
//! When the power goes, every unflushed write is kept, lost or torn at a sector, and of the names that were changed since
//! their folder was flushed only the first few stay changed. A process that merely dies loses nothing. It can also fail to
//! write or to flush, be full, and change bits at rest.

mod content;
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
use content::Content;
use rows::Rows;

/// What the disk did, so that a run can prove that its faults bit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wear {
    pub(crate) flushes: u64,
    pub(crate) writes_lost: u64,
    pub(crate) writes_torn: u64,
    pub(crate) names_lost: u64,
    pub(crate) errors: u64,
    pub(crate) failed_flushes: u64,
    pub(crate) full: u64,
    pub(crate) rotten_bits: u64,
    pub(crate) slow_flushes: u64,
}

impl Wear {
    pub(crate) fn add(&mut self, other: Self) {
        self.flushes += other.flushes;
        self.writes_lost += other.writes_lost;
        self.writes_torn += other.writes_torn;
        self.names_lost += other.names_lost;
        self.errors += other.errors;
        self.failed_flushes += other.failed_flushes;
        self.full += other.full;
        self.rotten_bits += other.rotten_bits;
        self.slow_flushes += other.slow_flushes;
    }
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
    /// The next flush fails, and what it should have made durable is not.
    fails_once: bool,
    /// So many bytes of files fit, if there is a limit.
    capacity: Option<usize>,
    /// A flush takes this long.
    flush: Duration,
    wear: Wear,
}

impl State {
    fn used(&self) -> usize {
        self.files.values().map(|content| content.lock().bytes.len()).sum()
    }
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

    pub(crate) fn fail_a_flush(&self) {
        self.state.lock().fails_once = true;
    }

    /// Leaves room for so many bytes.
    pub(crate) fn fill_up(&self, room: usize) {
        let mut state = self.state.lock();
        state.capacity = Some(state.used() + room);
    }

    /// Changes a bit of what a process has put away: of a checkpoint, of a snapshot, or of a segment of the log that is written no
    /// more. Where the last segment ends, damage cannot be told from a torn write.
    pub(crate) fn rot(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let segments: Vec<_> =
            state.files.keys().filter(|path| path.extension().is_some_and(|is| is == "wal")).collect();
        let last = segments.last().map(|path| path.to_path_buf());
        let is_put_away = |path: &Path| {
            path.ends_with("state.snapshot")
                || path.extension().is_some_and(|is| is == "wal") && Some(path) != last.as_deref()
        };
        let files: Vec<_> =
            state.files.iter().filter(|(path, _)| is_put_away(path)).map(|(_, content)| content).collect();
        let at = self.chance.below(files.len() + state.rows.len().max(1));
        state.wear.rotten_bits += 1;
        if let Some(content) = files.get(at) {
            let mut content = content.lock();
            if !content.bytes.is_empty() {
                let byte = self.chance.below(content.bytes.len());
                content.bytes[byte] ^= 1 << self.chance.below(8);
            }
        } else if let Some(rows) = state.rows.values().nth(at - files.len()) {
            rows.rot();
        }
    }

    pub(crate) fn slow_down(&self, flush: Duration) {
        self.state.lock().flush = flush;
    }

    /// Whether it is not what a disk should be.
    pub(crate) fn is_harmed(&self) -> bool {
        let state = self.state.lock();
        state.broken || state.fails_once || state.capacity.is_some() || !state.flush.is_zero()
    }

    /// Whether a loss of power now would lose something.
    pub(crate) fn has_unflushed(&self) -> bool {
        let state = self.state.lock();
        !state.names_unflushed.is_empty() || state.files.values().any(|content| content.lock().is_at_risk())
    }

    pub(crate) fn repair(&self) {
        let mut state = self.state.lock();
        (state.broken, state.fails_once, state.capacity, state.flush) = (false, false, None, Duration::ZERO);
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
            content.lock().lose_power(&self.chance, &mut state.wear);
        }
        for rows in state.rows.values() {
            rows.lose_power();
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

fn eio() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32)
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

    fn free_bytes(&self, _folder: &Path) -> Option<u64> {
        let state = self.platter.state.lock();
        state.capacity.map(|capacity| capacity.saturating_sub(state.used()) as u64)
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
            return Err(eio());
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
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let growth = (offset + bytes.len()).saturating_sub(self.content.lock().bytes.len());
        let mut state = self.platter.state.lock();
        if growth > 0 && state.capacity.is_some_and(|capacity| state.used() + growth > capacity) {
            state.wear.full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(state);
        self.content.lock().write(bytes, offset);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.check()?;
        let mut state = self.platter.state.lock();
        if std::mem::take(&mut state.fails_once) || state.broken {
            state.wear.failed_flushes += 1;
            self.content.lock().fail_to_flush();
            return Err(eio());
        }
        self.content.lock().flush();
        Ok(())
    }
}
