//! Why a log cannot be opened, with what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that was acknowledged cannot be read back.
    #[error(
        "{} is corrupt at byte {offset} ({what}): the records there were acknowledged, so this member must not go on without \
         them; remove the member from the cluster, empty its data directory and let it join again",
        path.display()
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in the segment.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file was written by another member or cluster.
    #[error(
        "{} belongs to member {found_member:016x} of cluster {found_cluster:016x}, not to this member; start the process that \
         owns it, or use an empty directory",
        path.display()
    )]
    Foreign {
        /// The segment.
        path: PathBuf,
        /// The cluster it names.
        found_cluster: u64,
        /// The member it names.
        found_member: u64,
    },
    /// The file was written by a newer version.
    #[error("{} has format {found}, this version knows {known} at most; run the newer version again", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
}

impl WalError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), offset, what: what.into() }
    }
}
