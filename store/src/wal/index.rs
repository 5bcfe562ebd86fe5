//! Where each entry is: the newest in memory, every one by its place on disk.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
};

use super::{
    record::{Entry, Position, Vote},
    segment::{Run, Segment},
};

/// One read from disk is at most this long, so that a reader never holds more than a few of them.
const RUN_BYTES_MAX: usize = 1 << 20;

/// An entry's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// With header and padding.
    pub(super) length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    term: u64,
    cost: u32,
    /// `None` until the writer has flushed it; such an entry is always in memory.
    location: Option<Location>,
}

/// What a read needs.
pub(super) enum Lookup {
    Memory(Vec<Entry>),
    Disk(Vec<Run>),
}

/// The log as its readers see it.
#[derive(Default)]
pub(super) struct Index {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<Position>,
    pub(super) purged: Option<Position>,
    /// Index of the first slot, when there is one.
    first: u64,
    slots: VecDeque<Slot>,
    /// The newest entries: their number is at most that of the slots.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    retained_bytes: u64,
    cache_bytes: usize,
    segments: BTreeMap<u64, Arc<Segment>>,
}

impl Index {
    pub(super) fn new(cache_bytes: usize) -> Self {
        Self { cache_bytes, ..Self::default() }
    }

    pub(super) fn last(&self) -> Option<Position> {
        match self.slots.back() {
            Some(slot) => Some(Position { term: slot.term, index: self.first + self.slots.len() as u64 - 1 }),
            None => self.purged,
        }
    }

    pub(super) fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    pub(super) fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    fn next(&self) -> Option<u64> {
        self.last().map(|last| last.index + 1)
    }

    fn position(&self, slot: usize) -> Position {
        Position { term: self.slots[slot].term, index: self.first + slot as u64 }
    }

    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            if self.next().is_some_and(|next| next != entry.index) {
                let problem = format!("entry {} does not follow {:?}", entry.index, self.last());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            self.push(entry.clone(), None);
        }
        self.shrink();
        Ok(())
    }

    /// Recovery: the entry stands at `location`; a gap before it forgets what came earlier.
    pub(super) fn replay(&mut self, entry: Entry, location: Location) -> Result<(), String> {
        match self.slots.back().and(self.next()) {
            Some(next) if entry.index < next => {
                return Err(format!("entry {} again, without a truncation before", entry.index));
            }
            Some(next) if entry.index > next => self.clear(),
            _ => {}
        }
        self.push(entry, Some(location));
        self.shrink();
        Ok(())
    }

    fn push(&mut self, entry: Entry, location: Option<Location>) {
        if self.slots.is_empty() {
            self.first = entry.index;
        }
        let cost = u32::try_from(entry.cost()).unwrap_or(u32::MAX);
        self.slots.push_back(Slot { term: entry.term, cost, location });
        self.retained_bytes += u64::from(cost);
        self.recent_bytes += entry.cost();
        self.recent.push_back(entry);
    }

    /// Drops the oldest entries from memory, as far as they are on disk.
    fn shrink(&mut self) {
        while self.recent_bytes > self.cache_bytes && self.recent.len() > 1 {
            let slot = self.slots.len() - self.recent.len();
            if self.slots[slot].location.is_none() {
                return;
            }
            self.drop_oldest_recent();
        }
    }

    fn drop_oldest_recent(&mut self) {
        if let Some(entry) = self.recent.pop_front() {
            self.recent_bytes -= entry.cost();
        }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.recent.clear();
        self.recent_bytes = 0;
        self.retained_bytes = 0;
    }

    pub(super) fn truncate_after(&mut self, last: Option<Position>) {
        let keep_to = last.map_or(0, |last| last.index + 1);
        while !self.slots.is_empty() && self.first + self.slots.len() as u64 > keep_to {
            if let Some(slot) = self.slots.pop_back() {
                self.retained_bytes -= u64::from(slot.cost);
            }
            if let Some(entry) = self.recent.pop_back() {
                self.recent_bytes -= entry.cost();
            }
        }
    }

    pub(super) fn purge(&mut self, upto: Position) {
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
        }
        while !self.slots.is_empty() && self.first <= upto.index {
            if self.recent.len() == self.slots.len() {
                self.drop_oldest_recent();
            }
            if let Some(slot) = self.slots.pop_front() {
                self.retained_bytes -= u64::from(slot.cost);
            }
            self.first += 1;
        }
    }

    pub(super) fn add_segment(&mut self, sequence: u64, segment: Arc<Segment>) {
        self.segments.insert(sequence, segment);
    }

    pub(super) fn remove_segment(&mut self, sequence: u64) -> Option<Arc<Segment>> {
        self.segments.remove(&sequence)
    }

    /// The writer has flushed these.
    pub(super) fn written(&mut self, places: &[(Position, Location)]) {
        for (position, location) in places {
            let Some(slot) = position.index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else {
                continue;
            };
            if let Some(slot) = self.slots.get_mut(slot).filter(|slot| slot.term == position.term) {
                slot.location = Some(*location);
            }
        }
        self.shrink();
    }

    pub(super) fn position_before_last_bytes(&self, bytes: u64) -> Option<Position> {
        let mut sum = 0;
        for at in (0..self.slots.len()).rev() {
            sum += u64::from(self.slots[at].cost);
            if sum > bytes {
                return Some(self.position(at));
            }
        }
        None
    }

    pub(super) fn lookup(&self, from: u64, to: u64, bytes_max: usize) -> Lookup {
        let end = self.first + self.slots.len() as u64;
        let (from, to) = (from.max(self.first), to.min(end));
        if self.slots.is_empty() || from >= to {
            return Lookup::Memory(Vec::new());
        }
        let recent_first = end - self.recent.len() as u64;
        if from >= recent_first {
            self.in_memory(from - recent_first, to - from, bytes_max)
        } else {
            self.on_disk(from, to.min(recent_first), bytes_max)
        }
    }

    fn in_memory(&self, skip: u64, count: u64, bytes_max: usize) -> Lookup {
        let (skip, count) = (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in self.recent.iter().skip(skip).take(count) {
            bytes += entry.cost();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Lookup::Memory(entries)
    }

    /// Neighbours on disk become one read.
    fn on_disk(&self, from: u64, to: u64, bytes_max: usize) -> Lookup {
        let mut runs: Vec<Run> = Vec::new();
        let mut bytes = 0;
        let mut current = None;
        for index in from..to {
            let slot = usize::try_from(index - self.first).ok().and_then(|at| self.slots.get(at));
            let Some(location) = slot.and_then(|slot| slot.location) else { break };
            let Some(segment) = self.segments.get(&location.segment) else { break };
            let length = location.length as usize;
            bytes += length;
            if bytes > bytes_max && !runs.is_empty() {
                break;
            }
            match runs.last_mut() {
                Some(run)
                    if current == Some(location.segment)
                        && run.offset + run.length as u64 == location.offset
                        && run.length + length <= RUN_BYTES_MAX =>
                {
                    run.length += length;
                }
                _ => runs.push(Run { segment: segment.clone(), offset: location.offset, length }),
            }
            current = Some(location.segment);
        }
        Lookup::Disk(runs)
    }
}
