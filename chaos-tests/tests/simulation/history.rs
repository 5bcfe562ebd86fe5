//! What clients asked, when, and what they were told.

use std::time::Duration;

use bytes::Bytes;
use store::mvccpb::KeyValue;

use crate::record::Record;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Put {
        key: Bytes,
        value: Bytes,
    },
    Delete {
        key: Bytes,
    },
    /// Put the value if the key was last changed at this revision; 0 means that it must not exist.
    Swap {
        key: Bytes,
        expected: i64,
        value: Bytes,
    },
    Get {
        key: Bytes,
    },
    /// All keys, of this member's own view, however old.
    ListLocally,
    List,
}

/// What the client was told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// A write at this revision.
    Written {
        revision: i64,
    },
    /// A delete that found nothing, or a swap whose condition did not hold, seen at this revision.
    NotWritten {
        revision: i64,
        found: Vec<KeyValue>,
    },
    Read {
        revision: i64,
        found: Vec<KeyValue>,
    },
    /// An error that promises that nothing was done.
    Refused,
    /// An error that promises nothing.
    Unknown,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) ask: Ask,
    pub(crate) told: Told,
}

impl Operation {
    /// The revision the answer speaks of.
    pub(crate) fn revision(&self) -> Option<i64> {
        match &self.told {
            Told::Written { revision } | Told::NotWritten { revision, .. } | Told::Read { revision, .. } => {
                Some(*revision)
            }
            Told::Refused | Told::Unknown => None,
        }
    }

    /// The value that only this operation writes.
    pub(crate) fn value(&self) -> Option<&Bytes> {
        match &self.ask {
            Ask::Put { value, .. } | Ask::Swap { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether the answer holds for the moment it was given, and not only for some moment before.
    pub(crate) fn is_linearizable(&self) -> bool {
        !matches!(self.ask, Ask::ListLocally)
    }
}

/// All operations of a run, in the order in which they ended.
pub(crate) type History = Record<Operation>;
