//! `kubectl cordon`: nothing new on a node with `spec.unschedulable`, unless the pod tolerates that taint.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerated;
use crate::plugin::{Change, Cycle, Filter, Reason, Target};

/// See the module's documentation.
pub struct NodeUnschedulable;

impl Filter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if !target.facts.unschedulable || tolerated(cycle.pod.spec, &taint) {
            return Vec::new();
        }
        vec![Reason::new("node(s) were unschedulable")]
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeTaints)
    }
}
