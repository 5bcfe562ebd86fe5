//! The hash of what can be read at a revision and before, down to the last compaction.
//!
//! It depends on the two revisions alone: not on how much of the compacted past has gone already, nor on what came
//! later. So members that stand at different revisions can be compared at one that both have.

use crate::mvcc::{Mvcc, revision::Record};

impl Mvcc {
    /// The hash at a revision. Looks at every record.
    pub(crate) fn hash_at(&self, revision: i64) -> u128 {
        let current = self.current.iter().map(|current| &current.0);
        let current = current.filter(|record| record.kv.mod_revision <= revision);
        let mut hash = current.fold(0, |sum: u128, record| sum.wrapping_add(record.hash()));
        let mut past = self.past.iter().map(|past| &*past.0).peekable();
        while let Some(record) = past.next() {
            let next = past.peek().copied().filter(|next| next.kv.key == record.kv.key);
            if record.kv.mod_revision <= revision && self.is_readable(record, next) {
                hash = hash.wrapping_add(record.hash());
            }
        }
        hash
    }

    /// Whether any read since the last compaction can find the record, which was followed by `next` or the live version.
    fn is_readable(&self, record: &Record, next: Option<&Record>) -> bool {
        if record.kv.mod_revision > self.compacted {
            return true;
        }
        let next = next.or_else(|| self.get(&record.kv.key).map(|live| &**live));
        !record.tombstone && next.is_some_and(|next| next.kv.mod_revision > self.compacted)
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest},
        raftpb::{Command, command::Body},
    };

    use crate::{state_machine::StateMachine, view::View};

    fn apply(state: &StateMachine, body: Body) -> View {
        let index = state.view().position().map_or(1, |position| position.index + 1);
        state.apply(1, index, &Command { body: Some(body), ..Command::default() }).unwrap();
        state.view()
    }

    fn put(state: &StateMachine, n: usize) -> View {
        let (key, value) = (format!("k{}", n % 7).into(), n.to_string().into());
        apply(state, Body::Put(PutRequest { key, value, ..PutRequest::default() }))
    }

    /// A history with deletions, and the hash right after each revision.
    fn history(state: &StateMachine) -> Vec<(i64, u128)> {
        let mut hashes = Vec::new();
        for n in 0..200 {
            let view = if n % 5 == 4 {
                let key = format!("k{}", n % 3).into();
                apply(state, Body::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }))
            } else {
                put(state, n)
            };
            hashes.push((view.revision(), view.hash_at(view.revision())));
        }
        hashes
    }

    #[test]
    fn the_hash_of_a_revision_stays_what_it_was() {
        let state = StateMachine::new();
        let hashes = history(&state);
        let view = state.view();
        for (revision, hash) in hashes {
            assert_eq!(view.hash_at(revision), hash, "revision {revision}");
        }
        // Without a compaction nothing is unreadable: it is the hash that every change keeps.
        assert_eq!(view.hash_at(view.revision()), view.hash());
    }

    #[test]
    fn it_does_not_depend_on_how_much_of_the_past_has_gone() {
        let (state, other) = (StateMachine::new(), StateMachine::new());
        history(&state);
        history(&other);
        let compact = || Body::Compaction(CompactionRequest { revision: 120, physical: false });
        let early = apply(&state, compact());
        assert!(early.forgets(), "most of it is still on its way out");
        let hash = early.hash_at(130);
        assert_ne!(hash, other.view().hash_at(130), "a compaction changes what can be read");
        apply(&other, compact());
        for n in 0..50 {
            put(&other, n);
        }
        assert!(!other.view().forgets());
        assert_eq!(other.view().hash_at(130), hash);
    }
}
