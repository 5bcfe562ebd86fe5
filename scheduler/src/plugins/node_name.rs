//! A pod that names its node goes there or nowhere.

use crate::plugin::{Change, Cycle, Filter, Reason, Target};

/// See the module's documentation.
pub struct NodeName;

impl Filter for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        match cycle.pod.spec.node_name.as_deref() {
            Some(name) if !name.is_empty() && *name != *target.facts.name => {
                vec![Reason::new("node(s) didn't match the requested node name")]
            }
            _ => Vec::new(),
        }
    }

    fn wakes_on(&self, change: Change) -> bool {
        change == Change::NodeAdded
    }
}
