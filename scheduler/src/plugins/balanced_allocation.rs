//! A node whose cpu and memory fill up evenly is better than one that ends with much of one and none of the other.

use crate::plugin::{Cycle, SCORE_MAX, Score, Target};

/// See the module's documentation.
pub struct BalancedAllocation;

impl Score for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64 {
        let wanted = &cycle.pod.placed.facts.assumed_use;
        let (all, used) = (&target.facts.allocatable, &target.info.used);
        // In thousandths, so that no rounding of floats can order two nodes differently on two machines.
        let share = |all: i64, used: i64| if all <= 0 { 1000 } else { (used.saturating_mul(1000) / all).min(1000) };
        let cpu = share(all.milli_cpu, used.milli_cpu.saturating_add(wanted.milli_cpu));
        let memory = share(all.memory, used.memory.saturating_add(wanted.memory));
        // The standard deviation of two values is half their distance.
        SCORE_MAX - (cpu - memory).abs() * SCORE_MAX / 2000
    }
}
