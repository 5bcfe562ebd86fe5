//! A plugin is one rule that users know by name: it refuses nodes, ranks them, or both.

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;

use crate::plugins::pod_topology_spread::Spread;
use crate::snapshot::{NodeFacts, NodeInfo, Placed, Snapshot};

/// The best a node can score.
pub const SCORE_MAX: i64 = 100;

/// Why a node is refused: the exact text users see in Events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub String);

impl Reason {
    /// A fixed text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A pod looking for a node.
pub struct Candidate<'a> {
    /// Its identity.
    pub uid: &'a str,
    /// Namespace, labels and what it asks for.
    pub placed: Placed,
    /// Everything it says.
    pub spec: &'a PodSpec,
}

/// What all plugins of one cycle share.
pub struct Cycle<'a> {
    /// The pod.
    pub pod: &'a Candidate<'a>,
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// Counted once for all nodes.
    pub spread: Spread,
}

/// A node under consideration.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// What it is.
    pub facts: &'a NodeFacts,
    /// What is on it.
    pub info: &'a NodeInfo,
}

/// Something that may let a waiting pod fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node appeared.
    NodeAdded,
    /// A node has another amount of something.
    NodeAllocatable,
    /// A node has other labels.
    NodeLabels,
    /// A node has other taints, or may be scheduled to again.
    NodeTaints,
    /// A pod freed its place.
    PodGone,
    /// A pod came to a place.
    PodPlaced,
}

/// Refuses nodes.
pub trait Filter: Sync {
    /// As users configure it.
    fn name(&self) -> &'static str;
    /// All reasons why the pod cannot run there; empty when it can.
    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason>;
    /// Whether a change may turn a refusal.
    fn wakes_on(&self, change: Change) -> bool;
}

/// Ranks nodes.
pub trait Score: Sync {
    /// As users configure it.
    fn name(&self) -> &'static str;
    /// How much it counts among the others.
    fn weight(&self) -> i64;
    /// Higher is better; any range when `normalize` brings it to 0..=100.
    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64;
    /// Brings the scores of all nodes to 0..=100.
    fn normalize(&self, _cycle: &Cycle<'_>, _scores: &mut [i64]) {}
}

/// The largest becomes 100, or 0 when fewer is better.
pub(crate) fn normalize(scores: &mut [i64], fewer_is_better: bool) {
    let max = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        let share = if max == 0 { 0 } else { *score * SCORE_MAX / max };
        *score = if fewer_is_better { SCORE_MAX - share } else { share };
    }
}
