//! What a worker remembers of its pod between two rounds. Losing it (a restart of the agent) costs a repeated signal or
//! a shorter back-off, nothing else.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::restart_backoff::Backoff;
use crate::runtime::{ContainerState, ContainerStatus};

/// The memory of one worker. All its times are of the worker's own clock ([`super::steady`]).
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// When the pod as a whole began to stop.
    pub(crate) stopping_since: Option<Timestamp>,
    /// Containers that were asked to stop, by id.
    pub(crate) stops: BTreeMap<String, Stop>,
    /// Restarts of containers, by name.
    pub(crate) restarts: Backoff,
    /// Failed pulls, by image.
    pub(crate) pulls: Backoff,
    /// What kept a container from starting the last time, by name.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// Starts whose program could not be executed. The runtime keeps no record of them; to Kubernetes each is a run
    /// that ended with code 128.
    pub(crate) failed_starts: Vec<ContainerStatus>,
    /// When containers were seen to have ended, by id.
    pub(crate) ends: BTreeMap<String, Timestamp>,
    /// What kept the sandbox from being made the last time.
    pub(crate) sandbox_failure: Option<Failure>,
    /// Running containers whose liveness or startup probe has failed, by id.
    pub(crate) unhealthy: BTreeSet<String>,
    /// What the probes say of running containers, by id.
    pub(crate) probes: BTreeMap<String, ProbeState>,
    /// The words that ended containers left behind, by id.
    pub(crate) messages: BTreeMap<String, String>,
    /// The pod as a whole has failed: reason and message.
    pub(crate) failed: Option<(String, String)>,
    /// Nothing of the pod is left on the node.
    pub(crate) torn_down: bool,
}

impl Memory {
    /// Notes which containers have ended by now. What their shim says of the time is of a clock that may have been set since; it
    /// is believed of those that had ended before this worker `began` to look, and not beyond now.
    pub(crate) fn note_ends(&mut self, containers: &[ContainerStatus], now: Timestamp, began: bool) {
        self.ends.retain(|id, _| containers.iter().any(|record| record.id == *id));
        for record in containers {
            if let ContainerState::Exited(exit) = &record.state {
                let ended = if began { exit.finished_at.min(now) } else { now };
                self.ends.entry(record.id.clone()).or_insert(ended);
            }
        }
    }
}

/// A container that was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// When it got its signal.
    pub(crate) signalled_at: Timestamp,
    /// When it was killed, if it did not obey.
    pub(crate) killed_at: Option<Timestamp>,
}

/// Something that did not work and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// What is shown once the failure is no news any more, while the next try is waited for.
    pub(crate) waiting: Option<(String, String)>,
    pub(crate) at: Timestamp,
    pub(crate) retry_at: Timestamp,
}

/// What the probes of one running container say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProbeState {
    /// The startup probe has succeeded, or there is none.
    pub(crate) started: bool,
    /// The readiness probe succeeds, or there is none.
    pub(crate) ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::{at, exited, running};

    #[test]
    fn an_end_is_when_it_was_seen_and_never_in_the_future() {
        let mut memory = Memory::default();
        memory.note_ends(&[exited("early", 0, 1, 5), exited("ahead", 0, 1, 3600), running("a", 0)], at(10), true);
        assert_eq!(memory.ends, [("ahead-0".to_owned(), at(10)), ("early-0".to_owned(), at(5))].into());
        // The clock of the shim was set meanwhile, to either side.
        memory.note_ends(&[exited("early", 0, 1, 5), exited("a", 0, 1, -3600), exited("b", 0, 1, 3600)], at(20), false);
        let seen = [("a-0", at(20)), ("b-0", at(20)), ("early-0", at(5))];
        assert_eq!(memory.ends, seen.map(|(id, time)| (id.to_owned(), time)).into());
    }
}
