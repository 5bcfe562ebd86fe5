//! One cycle: a pod and a snapshot go in, a node or the reasons come out.

use std::collections::{BTreeMap, BTreeSet};

use crate::plugin::{Candidate, Cycle, Filter, Reason, Target};
use crate::plugins::pod_topology_spread::Spread;
use crate::plugins::{FILTERS, SCORES};
use crate::snapshot::Snapshot;

/// Where the pod goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The node.
    pub node: Box<str>,
    /// How it scored.
    pub score: i64,
    /// How many nodes would have done.
    pub feasible: usize,
}

/// Why it goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unschedulable {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many nodes were refused for each reason.
    pub reasons: BTreeMap<Reason, usize>,
    /// The plugins that refused.
    pub plugins: BTreeSet<&'static str>,
}

/// The sentence of the FailedScheduling Event, as upstream writes it.
impl std::fmt::Display for Unschedulable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nodes == 0 {
            return formatter.write_str("no nodes available to schedule pods");
        }
        let mut reasons: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.sort();
        write!(formatter, "0/{} nodes are available: {}.", self.nodes, reasons.join(", "))
    }
}

/// Filters, scores, chooses. Of equal nodes `seed` chooses, so that a burst of pods does not pile up on the first.
pub fn schedule(pod: &Candidate<'_>, snapshot: &Snapshot, seed: u64) -> Result<Decision, Unschedulable> {
    let cycle = Cycle { pod, snapshot, spread: Spread::new(pod, snapshot) };
    let feasible = filter(&cycle)?;
    let scores = score(&cycle, &feasible);
    let best = scores.iter().copied().max().unwrap_or_default();
    let ties: Vec<&Target<'_>> =
        feasible.iter().zip(&scores).filter(|(_, score)| **score == best).map(|(target, _)| target).collect();
    let chosen = usize::try_from(seed % u64::try_from(ties.len().max(1)).unwrap_or(1)).unwrap_or_default();
    Ok(Decision { node: ties[chosen].facts.name.clone(), score: best, feasible: feasible.len() })
}

/// The nodes that may take the pod; at least one.
fn filter<'a>(cycle: &Cycle<'a>) -> Result<Vec<Target<'a>>, Unschedulable> {
    let mut feasible = Vec::new();
    let mut refused = Unschedulable { nodes: 0, reasons: BTreeMap::new(), plugins: BTreeSet::new() };
    for (facts, info) in cycle.snapshot.nodes().filter(|(facts, _)| !facts.deleting) {
        refused.nodes += 1;
        let target = Target { facts, info };
        match refusal(cycle, target) {
            None => feasible.push(target),
            Some((plugin, reasons)) => {
                refused.plugins.insert(plugin.name());
                for reason in reasons {
                    *refused.reasons.entry(reason).or_default() += 1;
                }
            }
        }
    }
    if feasible.is_empty() { Err(refused) } else { Ok(feasible) }
}

fn refusal(cycle: &Cycle<'_>, target: Target<'_>) -> Option<(&'static dyn Filter, Vec<Reason>)> {
    FILTERS.iter().find_map(|filter| {
        let reasons = filter.filter(cycle, target);
        (!reasons.is_empty()).then_some((*filter, reasons))
    })
}

fn score(cycle: &Cycle<'_>, feasible: &[Target<'_>]) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    if feasible.len() < 2 {
        return totals;
    }
    for plugin in SCORES {
        let mut scores: Vec<i64> = feasible.iter().map(|target| plugin.score(cycle, *target)).collect();
        plugin.normalize(cycle, &mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score * plugin.weight();
        }
    }
    totals
}

#[cfg(test)]
mod tests;
