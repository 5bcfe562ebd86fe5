//! Where a checkpoint's rows are kept: an ordered map of bytes with atomic batches.
//!
//! `sled` on a disk, `memory` in simulations (sled starts threads of its own).

pub(crate) mod memory;
pub(crate) mod sled;

/// Why the engine failed. The rows can always be rebuilt from a snapshot and the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the checkpoint's storage failed: {0}")]
pub struct EngineError(pub(crate) String);

impl EngineError {
    /// With what the storage said.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Rows to set, and rows to delete.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// An ordered map of bytes.
pub trait Engine: Send + std::fmt::Debug {
    /// Makes all changes or none.
    fn write(&mut self, changes: Changes) -> Result<(), EngineError>;

    /// Makes all changes, in any order: a crash may leave some of them out.
    fn write_loosely(&mut self, changes: Changes) -> Result<(), EngineError> {
        self.write(changes)
    }

    /// Returns after everything written survives a loss of power.
    fn sync(&mut self) -> Result<(), EngineError>;

    /// One row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Calls the visitor for each row in order of the keys, until it returns false.
    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), EngineError>;

    /// Bytes that the rows take on the disk, with what was deleted from among them; 0 where there is no disk.
    fn size_on_disk(&self) -> u64 {
        0
    }

    /// Deletes every row.
    fn clear(&mut self) -> Result<(), EngineError>;
}
