//! What must hold of every run: one file each, judged from the evidence alone.

use super::evidence::Evidence;

mod acknowledged_writes;
mod bounded_outages;
mod equal_state;
pub(crate) mod faults_bit;
mod linearizable_registers;
mod living_endpoints;
mod monotonic_revisions;
mod nodes_stay_ready;
mod one_leader;
mod pods_untouched;
mod recovery;
mod run_to_its_end;
mod users_workload;
pub(crate) mod watches;

/// What an oracle found.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The promise, as a sentence.
    pub(crate) promise: &'static str,
    /// What shows that it was kept, or how it was broken.
    pub(crate) outcome: Result<String, String>,
}

type Check = fn(&Evidence) -> Result<String, String>;

/// All oracles, in the order in which they are reported.
const ALL: &[(&str, Check)] = &[
    ("no acknowledged write is lost", acknowledged_writes::check),
    ("watches miss no event, see none twice, and keep the order", watches::check),
    ("revisions rise across all masters", monotonic_revisions::check),
    ("reads and swaps are linearizable", linearizable_registers::check),
    ("all members hold the same state", equal_state::check),
    ("no term has two leaders", one_leader::check),
    ("only the loss of a node restarts its containers", pods_untouched::check),
    ("every node stays Ready", nodes_stay_ready::check),
    ("a Service leads to pods that live", living_endpoints::check),
    ("writes and probes go on soon", bounded_outages::check),
    ("the user's workload runs on", users_workload::check),
    ("every fault bit", faults_bit::check),
    ("the cluster recovers from every fault", recovery::check),
    ("the run was made to its end", run_to_its_end::check),
];

/// Asks all of them.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Finding> {
    ALL.iter().map(|(promise, check)| Finding { promise, outcome: check(evidence) }).collect()
}

/// Some of many, for a message that stays short.
fn some(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = all.len().saturating_sub(SHOWN);
    let listed = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{listed}; and {more} more") } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_sound_run_passes_every_oracle() {
        for finding in judge(&evidence()) {
            assert!(finding.outcome.is_ok(), "{}: {:?}", finding.promise, finding.outcome);
        }
    }
}
