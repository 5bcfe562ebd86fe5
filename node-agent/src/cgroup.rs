//! Control groups of pods and containers.

use std::{io, path::PathBuf};

/// A control group could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}
