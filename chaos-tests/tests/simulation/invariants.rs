//! What must hold of every run, whatever was done to it. One file each.

mod acknowledged_writes;
mod linearizability;
mod one_effect;
mod one_story;
mod reads;
mod real_time;
mod watches;

use std::collections::BTreeMap;

use crate::{history::Operation, truth::Story, watcher::Heard};

/// All that was seen of a run.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) operations: Vec<Operation>,
    pub(crate) story: Story,
    pub(crate) contradictions: Vec<String>,
    /// By watcher.
    pub(crate) heard: Vec<Vec<Heard>>,
    /// In the end: of each member, its revision and the hash of its state.
    pub(crate) hashes: BTreeMap<u64, (i64, u32)>,
    /// Who was seen to lead, by term.
    pub(crate) leaders: BTreeMap<u64, Vec<u64>>,
}

/// An invariant: its name, and what breaks it.
pub(crate) type Invariant = (&'static str, fn(&Evidence) -> Result<(), String>);

/// All of them.
pub(crate) const ALL: &[Invariant] = &[
    ("acknowledged writes are there", acknowledged_writes::check),
    ("an operation takes effect once or not at all", one_effect::check),
    ("members tell one story", one_story::check),
    ("reads show one moment", reads::check),
    ("time goes forward", real_time::check),
    ("each key is linearizable", linearizability::check),
    ("watches are ordered, unique, complete and honest", watches::check),
];
