//! How many requests may be in flight at once. What exceeds it is told when to come again, and costs next to nothing.
//!
//! Requests that stay open (watch, log) do not count: connections and streams bound them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const READS: usize = 400;
const WRITES: usize = 200;

/// The places for requests in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    reads: Arc<Semaphore>,
    read_places: usize,
    writes: Arc<Semaphore>,
    write_places: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new(READS, WRITES)
    }
}

impl InFlight {
    /// Places for this many requests of each sort.
    pub(crate) fn new(reads: usize, writes: usize) -> Self {
        Self {
            reads: Arc::new(Semaphore::new(reads)),
            read_places: reads,
            writes: Arc::new(Semaphore::new(writes)),
            write_places: writes,
        }
    }

    /// How many reads and how many writes are in flight.
    pub(crate) fn taken(&self) -> (i64, i64) {
        let taken = |all: usize, places: &Semaphore| {
            i64::try_from(all.saturating_sub(places.available_permits())).unwrap_or(i64::MAX)
        };
        (taken(self.read_places, &self.reads), taken(self.write_places, &self.writes))
    }

    /// A place for a request with this verb, held until dropped; `None` when all are taken.
    pub(crate) fn enter(&self, verb: &str) -> Option<OwnedSemaphorePermit> {
        let places = match verb {
            "get" | "list" | "watch" | "head" | "options" => &self.reads,
            _ => &self.writes,
        };
        places.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_ends() {
        let limits = InFlight::new(1, 1);
        let held = limits.enter("get");
        assert!(held.is_some() && limits.enter("list").is_none());
        assert!(limits.enter("create").is_some());
        assert_eq!(limits.taken(), (1, 0));
        drop(held);
        assert!(limits.enter("list").is_some());
    }
}
