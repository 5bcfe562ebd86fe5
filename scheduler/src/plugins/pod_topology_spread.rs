//! Pods of a kind spread over zones, hosts, or whatever label divides the nodes.
//!
//! `DoNotSchedule` refuses nodes that would make the difference too large; `ScheduleAnyway` ranks them. A pod that says
//! nothing is spread softly over hosts and zones among the pods of its controller.

use std::collections::{BTreeMap, BTreeSet};

use api::selector::{LabelSelector, Operator, Requirement};
use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::node_affinity::may_run;
use super::taint_toleration::tolerated;
use crate::plugin::{Candidate, Change, Cycle, Filter, Reason, SCORE_MAX, Score, Target};
use crate::selectors::of_labels;
use crate::snapshot::{NodeFacts, NodeInfo, Placed, Snapshot};

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// What a pod without constraints gets: key and allowed difference, as upstream's defaults.
const DEFAULTS: [(&str, i64); 2] = [(HOST, 3), (ZONE, 5)];

/// See the module's documentation.
pub struct PodTopologySpread;

/// The constraints of a pod, with how many matching pods each domain has.
#[derive(Default)]
pub struct Spread {
    hard: Vec<Counted>,
    soft: Vec<Counted>,
}

struct Counted {
    key: String,
    max_skew: i64,
    min_domains: usize,
    /// The pod itself counts wherever it goes.
    counts_itself: bool,
    domains: BTreeMap<String, i64>,
}

/// Which pods count.
enum Kind {
    Labels(LabelSelector),
    Owner(Box<str>),
}

impl Spread {
    /// Counts once for a cycle.
    pub(crate) fn new(pod: &Candidate<'_>, snapshot: &Snapshot) -> Self {
        let mut spread = Self::default();
        match pod.spec.topology_spread_constraints.as_deref() {
            Some(constraints) if !constraints.is_empty() => {
                for constraint in constraints {
                    let Some(kind) = kind(constraint, pod) else { continue };
                    let counted = count(constraint, &kind, pod, snapshot);
                    let hard = constraint.when_unsatisfiable == "DoNotSchedule";
                    if hard { spread.hard.push(counted) } else { spread.soft.push(counted) }
                }
            }
            _ => {
                let Some(owner) = pod.placed.facts.owner.clone() else { return spread };
                let kind = Kind::Owner(owner);
                for (key, max_skew) in DEFAULTS {
                    let constraint = TopologySpreadConstraint {
                        topology_key: key.to_owned(),
                        max_skew: i32::try_from(max_skew).unwrap_or(i32::MAX),
                        ..TopologySpreadConstraint::default()
                    };
                    spread.soft.push(count(&constraint, &kind, pod, snapshot));
                }
            }
        }
        spread
    }
}

fn kind(constraint: &TopologySpreadConstraint, pod: &Candidate<'_>) -> Option<Kind> {
    let selector = of_labels(constraint.label_selector.as_ref()?)?;
    let mut requirements = selector.requirements().to_vec();
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = label(&pod.placed, key) {
            requirements.push(Requirement { key: key.clone(), operator: Operator::In(vec![value.to_owned()]) });
        }
    }
    Some(Kind::Labels(requirements.into_iter().collect()))
}

fn label<'a>(pod: &'a Placed, key: &str) -> Option<&'a str> {
    pod.labels.iter().find(|(known, _)| **known == *key).map(|(_, value)| &**value)
}

impl Kind {
    fn is(&self, pod: &Placed) -> bool {
        match self {
            Self::Labels(selector) => selector.matches(|key| label(pod, key)),
            Self::Owner(owner) => pod.facts.owner.as_ref() == Some(owner),
        }
    }
}

fn count(constraint: &TopologySpreadConstraint, kind: &Kind, pod: &Candidate<'_>, snapshot: &Snapshot) -> Counted {
    let mut domains = BTreeMap::new();
    for (facts, info) in snapshot.nodes() {
        let Some(domain) = domain(facts, &constraint.topology_key) else { continue };
        if !counts(constraint, pod, facts) {
            continue;
        }
        *domains.entry(domain.to_owned()).or_default() += matching(info, kind, pod);
    }
    Counted {
        key: constraint.topology_key.clone(),
        max_skew: i64::from(constraint.max_skew),
        min_domains: constraint.min_domains.and_then(|min| usize::try_from(min).ok()).unwrap_or(1),
        counts_itself: kind.is(&pod.placed),
        domains,
    }
}

/// Whether a node belongs to the picture: by default those the pod's affinity allows, whatever their taints.
fn counts(constraint: &TopologySpreadConstraint, pod: &Candidate<'_>, node: &NodeFacts) -> bool {
    let affinity = constraint.node_affinity_policy.as_deref() == Some("Ignore") || may_run(pod.spec, node);
    let hard = |taint: &&k8s_openapi::api::core::v1::Taint| taint.effect != "PreferNoSchedule";
    let taints = constraint.node_taints_policy.as_deref() != Some("Honor")
        || node.taints.iter().filter(hard).all(|taint| tolerated(pod.spec, taint));
    affinity && taints
}

fn matching(info: &NodeInfo, kind: &Kind, pod: &Candidate<'_>) -> i64 {
    let mut others =
        info.pods.values().filter(|other| other.namespace == pod.placed.namespace && !other.facts.deleting);
    let mut count = 0;
    while others.by_ref().find(|other| kind.is(other)).is_some() {
        count += 1;
    }
    count
}

/// The host is its own domain even when nobody labelled it.
fn domain<'a>(node: &'a NodeFacts, key: &str) -> Option<&'a str> {
    let labelled = node.labels.get(key).map(String::as_str);
    labelled.or((key == HOST).then_some(&*node.name))
}

impl Filter for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        for constraint in &cycle.spread.hard {
            let Some(domain) = domain(target.facts, &constraint.key) else {
                let text = "node(s) didn't match pod topology spread constraints (missing required label)";
                return vec![Reason::new(text)];
            };
            let least = constraint.domains.values().copied().min().unwrap_or_default();
            let least = if constraint.domains.len() < constraint.min_domains { 0 } else { least };
            let here = constraint.domains.get(domain).copied().unwrap_or_default();
            if here + i64::from(constraint.counts_itself) - least > constraint.max_skew {
                return vec![Reason::new("node(s) didn't match pod topology spread constraints")];
            }
        }
        Vec::new()
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeLabels | Change::PodGone | Change::PodPlaced)
    }
}

impl Score for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    /// The matching pods around, in hundredths; a constraint with more domains counts more. -1: no such domain.
    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64 {
        let mut total = 0;
        for constraint in &cycle.spread.soft {
            // A cluster without zones says nothing about zones.
            if constraint.domains.is_empty() {
                continue;
            }
            let Some(domain) = domain(target.facts, &constraint.key) else { return -1 };
            let here = constraint.domains.get(domain).copied().unwrap_or_default();
            let weight = logarithm(constraint.domains.len() + 2);
            total += here * weight + (constraint.max_skew - 1) * 100;
        }
        total
    }

    fn normalize(&self, cycle: &Cycle<'_>, scores: &mut [i64]) {
        if cycle.spread.soft.is_empty() {
            return scores.fill(0);
        }
        let known: BTreeSet<i64> = scores.iter().copied().filter(|score| *score >= 0).collect();
        let (Some(least), Some(most)) = (known.first().copied(), known.last().copied()) else { return scores.fill(0) };
        for score in scores {
            *score = match *score {
                lacking if lacking < 0 => 0,
                _ if most == 0 => SCORE_MAX,
                known => SCORE_MAX * (most + least - known) / most,
            };
        }
    }
}

/// The natural logarithm in hundredths, for the few domains there are.
fn logarithm(number: usize) -> i64 {
    let number = u64::try_from(number).unwrap_or(u64::MAX).max(1);
    // ln n = log2 n * ln 2, with four fractional bits by squaring.
    let mut log2_16 = i64::from(number.ilog2()) * 16;
    let mut rest = (u128::from(number) << 32) >> number.ilog2();
    for bit in [8, 4, 2, 1] {
        rest = (rest * rest) >> 32;
        if rest >= 2 << 32 {
            rest >>= 1;
            log2_16 += bit;
        }
    }
    log2_16 * 6931 / 1600
}

#[cfg(test)]
mod tests {
    use super::logarithm;

    #[test]
    fn the_logarithm_is_right_to_a_few_hundredths() {
        for (number, expect) in [(1, 0), (2, 69), (3, 110), (4, 139), (10, 230), (1000, 691)] {
            assert!((logarithm(number) - expect).abs() <= 4, "{number}: {} {expect}", logarithm(number));
        }
    }
}
