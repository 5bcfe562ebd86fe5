//! Segments kept for the day on which the disk is full: what gives space back is written into them.
//!
//! ```text
//! <dir>/1.reserve, 2.reserve   zeros, as long as the first segment
//! ```

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::preparer::{Spare, zeroed};
use crate::world::Disk;

/// One to go on in, and one for when that is full while the log is shortened.
const SEGMENTS: u8 = 2;

/// The reserve; the writer takes from it, and somebody who is not in a hurry fills it.
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    length: u64,
    held: Mutex<BTreeMap<u8, Spare>>,
}

impl Reserve {
    /// Takes over what an earlier run left.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path, length: u64) -> Self {
        let reserve = Self { disk: disk.clone(), dir: dir.to_path_buf(), length, held: Mutex::default() };
        let found = (1..=SEGMENTS).filter_map(|number| {
            let path = reserve.path(number);
            let file = disk.open(&path).ok()?;
            // A shorter one was being made.
            (file.length().ok()? == length).then_some((number, Spare { path, file, length }))
        });
        let found = found.collect();
        *reserve.held.lock() = found;
        reserve
    }

    fn path(&self, number: u8) -> PathBuf {
        self.dir.join(format!("{number}.reserve"))
    }

    /// A segment of `length` bytes at least.
    pub(super) fn take(&self, length: u64) -> Option<Spare> {
        if length > self.length {
            return None;
        }
        self.held.lock().pop_last().map(|(_, spare)| spare)
    }

    /// Makes what is missing; says whether nothing is, afterwards. Blocks.
    pub(super) fn fill(&self) -> io::Result<bool> {
        for number in 1..=SEGMENTS {
            if self.held.lock().contains_key(&number) {
                continue;
            }
            if self.disk.free_bytes(&self.dir).is_some_and(|free| free < 2 * self.length) {
                return Ok(false);
            }
            match zeroed(&*self.disk, self.path(number), self.length) {
                Ok(spare) => drop(self.held.lock().insert(number, spare)),
                Err(error) if is_full(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Whether the disk has no room. Nothing was written then, and what is on it is as before.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
