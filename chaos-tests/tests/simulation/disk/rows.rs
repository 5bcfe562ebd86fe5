//! The rows of a checkpoint, with the batches that were not flushed yet.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use store::world::{Changes, Engine, EngineError};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
/// What the rows of a batch were before it.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
struct State {
    rows: Map,
    /// For each unflushed batch.
    unflushed: Vec<Undo>,
    /// Of everything ever written: such storage gives nothing back.
    size: u64,
}

/// A folder of rows. Clones are the same folder.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    state: Arc<Mutex<State>>,
    chance: Chance,
    alive: CancellationToken,
}

pub(super) fn failed(error: impl ToString) -> EngineError {
    EngineError::new(error.to_string())
}

impl Rows {
    pub(super) fn new(chance: Chance) -> Self {
        Self { state: Arc::default(), chance, alive: CancellationToken::new() }
    }

    pub(super) fn opened(mut self, alive: CancellationToken) -> Self {
        self.alive = alive;
        self
    }

    /// Of the unflushed batches, only the first few stay: they are written in order.
    pub(super) fn lose_power(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let kept = self.chance.below(state.unflushed.len() + 1);
        for (key, before) in state.unflushed.drain(..).skip(kept).rev().flat_map(|batch| batch.into_iter().rev()) {
            set(&mut state.rows, key, before);
        }
    }

    /// Changes a bit of a row.
    pub(super) fn rot(&self) {
        let mut state = self.state.lock();
        let at = self.chance.below(state.rows.len().max(1));
        if let Some(value) = state.rows.values_mut().nth(at).filter(|value| !value.is_empty()) {
            let byte = self.chance.below(value.len());
            value[byte] ^= 1 << self.chance.below(8);
        }
    }

    fn state(&self) -> Result<parking_lot::MutexGuard<'_, State>, EngineError> {
        if self.alive.is_cancelled() { Err(failed("the process is dead")) } else { Ok(self.state.lock()) }
    }
}

fn set(rows: &mut Map, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match value {
        Some(value) => rows.insert(key, value),
        None => rows.remove(&key),
    }
}

impl Engine for Rows {
    fn write(&mut self, changes: Changes) -> Result<(), EngineError> {
        let mut state = self.state()?;
        let mut batch = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            state.size += (key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
            let before = set(&mut state.rows, key.clone(), value);
            batch.push((key, before));
        }
        state.unflushed.push(batch);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.state()?.unflushed.clear();
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.state()?.rows.get(key).cloned())
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), EngineError> {
        self.state()?.rows.iter().all(|(key, value)| visit(key, value));
        Ok(())
    }

    fn size_on_disk(&self) -> u64 {
        self.state.lock().size
    }

    fn clear(&mut self) -> Result<(), EngineError> {
        let keys: Vec<_> = self.state()?.rows.keys().map(|key| (key.clone(), None)).collect();
        self.write(keys)
    }
}
