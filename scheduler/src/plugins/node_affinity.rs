//! `nodeSelector` and `affinity.nodeAffinity`: where a pod must run, and where it would rather.

use k8s_openapi::api::core::v1::PodSpec;

use crate::plugin::{Change, Cycle, Filter, Reason, Score, Target, normalize};
use crate::selectors::{contains, term_matches};
use crate::snapshot::NodeFacts;

/// See the module's documentation.
pub struct NodeAffinity;

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        if may_run(cycle.pod.spec, target.facts) {
            return Vec::new();
        }
        vec![Reason::new("node(s) didn't match Pod's node affinity/selector")]
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeLabels)
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64 {
        let affinity = cycle.pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let terms =
            affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
        let matching = terms.into_iter().flatten().filter(|term| term_matches(&term.preference, target.facts));
        matching.map(|term| i64::from(term.weight)).sum()
    }

    fn normalize(&self, _cycle: &Cycle<'_>, scores: &mut [i64]) {
        normalize(scores, false);
    }
}

/// Whether selector and required affinity allow the node; any of the terms is enough.
pub(crate) fn may_run(spec: &PodSpec, node: &NodeFacts) -> bool {
    let selected = spec.node_selector.as_ref().is_none_or(|wanted| contains(&node.labels, wanted));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}
