//! Forgetting the past.
//!
//! A compaction takes effect at once: reads and watches below its revision are refused. The old versions go away a few
//! at a time, with the commands that follow, so no command pays for a long history. What goes with which command
//! depends on the log alone, so all members hold the same records after the same entry.

use std::sync::Arc;

use crate::{
    error::Error,
    mvcc::{
        Mvcc,
        revision::{Batch, Event, Record},
    },
};

/// Events forgotten with one command, about 100 µs of work: a history of a million is gone after 16 000 commands.
const EVENTS_PER_COMMAND: usize = 64;

impl Mvcc {
    /// Refuses all reads below the revision from now on.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted { compact_revision: self.compacted });
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    /// Drops some of what no read can reach any more.
    pub(crate) fn scrub(&mut self) {
        let mut done = 0;
        while done < EVENTS_PER_COMMAND {
            let Some(batch) = self.log.first().filter(|batch| batch.revision <= self.compacted).cloned() else {
                return;
            };
            if batch.revision < self.compacted {
                self.log.remove(batch.revision);
                self.scrub_events(&batch.events, true);
            } else if batch.events.iter().any(|event| event.previous.is_some()) {
                // A watch may still start at the compacted revision itself, but without the values before it.
                self.scrub_events(&batch.events, false);
                let bare = batch.events.iter().map(|e| Event { record: Arc::clone(&e.record), previous: None });
                self.log.insert(Batch { revision: batch.revision, events: bare.collect() });
            } else {
                return;
            }
            done += batch.events.len();
        }
    }

    fn scrub_events(&mut self, events: &[Event], tombstones_too: bool) {
        for event in events {
            if let Some(previous) = &event.previous {
                self.drop_past(previous);
            }
            if event.record.tombstone && tombstones_too {
                self.drop_past(&event.record);
            }
        }
    }

    fn drop_past(&mut self, record: &Record) {
        if let Some(gone) = self.past.remove((&record.kv.key, record.kv.mod_revision, record.sub)) {
            self.forget(&gone.0);
        }
    }
}
