//! The bytes of one file: as every process sees them, and what of them a loss of power would take back.

use crate::chance::Chance;

use super::Wear;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What a write replaced.
#[derive(Clone, Debug)]
struct Undo {
    offset: usize,
    replaced: Vec<u8>,
    /// The file's length before; `None` when a later write has made it part of the file for good.
    length_before: Option<usize>,
    length: usize,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    unflushed: Vec<Undo>,
    /// Written, and not flushed by a flush that failed: the pages count as clean since then. No later flush writes them, unless
    /// they are written again.
    stranded: Vec<Undo>,
}

impl Content {
    pub(super) fn is_at_risk(&self) -> bool {
        !self.unflushed.is_empty() || !self.stranded.is_empty()
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let (length_before, end) = (self.bytes.len(), offset + bytes.len());
        let replaced = self.bytes.get(offset..end.min(length_before)).unwrap_or_default().to_vec();
        if end > length_before {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.unflushed.push(Undo { offset, replaced, length_before: Some(length_before), length: bytes.len() });
    }

    pub(super) fn flush(&mut self) {
        for written in std::mem::take(&mut self.unflushed) {
            if !self.stranded.is_empty() {
                let pages = written.offset / PAGE * PAGE..(written.offset + written.length).next_multiple_of(PAGE);
                self.stranded = self.stranded.iter().flat_map(|undo| undo.without(&pages)).collect();
            }
        }
    }

    pub(super) fn fail_to_flush(&mut self) {
        self.stranded.append(&mut self.unflushed);
    }

    /// Each write is kept, lost or torn at a sector.
    pub(super) fn lose_power(&mut self, chance: &Chance, wear: &mut Wear) {
        let at_risk = self.stranded.drain(..).chain(self.unflushed.drain(..)).collect::<Vec<_>>();
        for undo in at_risk.into_iter().rev() {
            match chance.below(3) {
                0 => {}
                1 => {
                    wear.writes_lost += 1;
                    self.undo(&undo, 0);
                }
                _ => {
                    wear.writes_torn += 1;
                    let sectors = undo.length.div_ceil(SECTOR);
                    self.undo(&undo, chance.below(sectors + 1) * SECTOR);
                }
            }
        }
    }

    /// Takes back a write, but for its first bytes.
    fn undo(&mut self, undo: &Undo, kept: usize) {
        let from = (undo.offset + kept.min(undo.length)).min(self.bytes.len());
        for (at, byte) in undo.replaced.iter().enumerate().skip(kept) {
            if let Some(slot) = self.bytes.get_mut(undo.offset + at) {
                *slot = *byte;
            }
        }
        if let Some(length_before) = undo.length_before.filter(|before| *before < undo.offset + undo.length) {
            self.bytes.truncate(length_before.max(from));
        }
    }
}

impl Undo {
    /// What of it lies outside these bytes.
    fn without(&self, range: &std::ops::Range<usize>) -> Vec<Self> {
        let end = self.offset + self.length;
        if range.end <= self.offset || end <= range.start {
            return vec![self.clone()];
        }
        let part = |from: usize, to: usize| {
            let replaced = self.replaced.get(from - self.offset..).unwrap_or_default();
            let replaced = replaced[..replaced.len().min(to - from)].to_vec();
            Self { offset: from, replaced, length_before: None, length: to - from }
        };
        let parts = [(self.offset, range.start), (range.end, end)];
        parts.into_iter().filter(|(from, to)| from < to).map(|(from, to)| part(from, to)).collect()
    }
}
