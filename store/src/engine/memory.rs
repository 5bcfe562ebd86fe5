//! Rows in memory, for simulations and tests.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::engine::{Changes, Engine, EngineError};

/// Clones share their rows, as two openings of one directory would.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    rows: Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>,
    #[cfg(test)]
    writes_left: Arc<Mutex<Option<usize>>>,
}

impl Engine for Memory {
    fn write(&mut self, changes: Changes) -> Result<(), EngineError> {
        #[cfg(test)]
        self.count_down()?;
        let mut rows = self.rows.lock();
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rows.lock().get(key).cloned())
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), EngineError> {
        self.rows.lock().iter().all(|(key, value)| visit(key, value));
        Ok(())
    }

    fn clear(&mut self) -> Result<(), EngineError> {
        self.rows.lock().clear();
        Ok(())
    }
}

#[cfg(test)]
impl Memory {
    /// Fails every write after so many more.
    pub(crate) fn fail_after(&self, writes: usize) {
        *self.writes_left.lock() = Some(writes);
    }

    fn count_down(&self) -> Result<(), EngineError> {
        match &mut *self.writes_left.lock() {
            Some(0) => Err(EngineError("the power went out".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Loses one pack of records, as a faulty disk would.
    pub(crate) fn remove_first_record(&self) {
        let mut rows = self.rows.lock();
        let first = rows.keys().find(|key| key.first() == Some(&b'p')).cloned();
        rows.remove(&first.unwrap_or_default());
    }
}
