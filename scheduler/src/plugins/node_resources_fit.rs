//! What a pod asks for must be free on its node; of nodes where it is, the emptier one is better.

use crate::plugin::{Change, Cycle, Filter, Reason, SCORE_MAX, Score, Target};

/// See the module's documentation.
pub struct NodeResourcesFit;

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        let wanted = &cycle.pod.placed.facts.requests;
        let (all, taken) = (&target.facts.allocatable, &target.info.requested);
        let mut reasons = Vec::new();
        if i64::try_from(target.info.pods.len()).unwrap_or(i64::MAX) >= target.facts.pods_max {
            reasons.push(Reason::new("Too many pods"));
        }
        let mut compare = |name: &str, wanted: i64, all: i64, taken: i64| {
            if wanted > 0 && wanted > all.saturating_sub(taken) {
                reasons.push(Reason::new(format!("Insufficient {name}")));
            }
        };
        compare("cpu", wanted.milli_cpu, all.milli_cpu, taken.milli_cpu);
        compare("memory", wanted.memory, all.memory, taken.memory);
        compare("ephemeral-storage", wanted.ephemeral_storage, all.ephemeral_storage, taken.ephemeral_storage);
        for (name, amount) in &wanted.others {
            compare(name, *amount, all.other(name), taken.other(name));
        }
        reasons
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeAllocatable | Change::PodGone)
    }
}

impl Score for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    /// `LeastAllocated`: the mean of what is left of cpu and memory.
    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64 {
        let wanted = &cycle.pod.placed.facts.assumed_use;
        let (all, used) = (&target.facts.allocatable, &target.info.used);
        let left =
            |all: i64, used: i64| if all <= 0 || used > all { 0 } else { (all - used).saturating_mul(SCORE_MAX) / all };
        let cpu = left(all.milli_cpu, used.milli_cpu.saturating_add(wanted.milli_cpu));
        let memory = left(all.memory, used.memory.saturating_add(wanted.memory));
        cpu.midpoint(memory)
    }
}
