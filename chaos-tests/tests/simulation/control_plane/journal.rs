//! What users asked the Kubernetes API for, when, and what they were told.

use std::time::Duration;

use crate::record::Record;

/// What a user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    /// The whole object, as it was at a revision that the user saw.
    Replace {
        seen: i64,
    },
    Patch,
    Delete,
    /// All objects of a kind in a namespace, the latest.
    List,
}

/// What the user was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done, or read, at this revision.
    Done { revision: i64, uid: String },
    /// An error that promises that nothing was done.
    Refused(u16, String),
    /// An error that promises nothing.
    Unknown,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) user: u64,
    /// When it began and when it ended.
    pub(crate) time: (Duration, Duration),
    pub(crate) verb: Verb,
    /// The object's key in the store; of a list, what the keys begin with.
    pub(crate) key: String,
    /// What only this request writes.
    pub(crate) mark: String,
    pub(crate) told: Told,
}

/// All requests of a run, in the order in which they ended.
pub(crate) type Journal = Record<Call>;
