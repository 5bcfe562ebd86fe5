//! One file per rule, one line per rule in a table.

use crate::plugin::{Filter, Score};

pub mod balanced_allocation;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod pod_topology_spread;
pub mod taint_toleration;

/// What refuses nodes. The order decides which reason is given: the first plugin that refuses a node speaks.
pub static FILTERS: &[&dyn Filter] = &[
    &node_unschedulable::NodeUnschedulable,
    &node_name::NodeName,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_ports::NodePorts,
    &node_resources_fit::NodeResourcesFit,
    &pod_topology_spread::PodTopologySpread,
];

/// What ranks nodes, by name.
pub static SCORES: &[&dyn Score] = &[
    &node_affinity::NodeAffinity,
    &balanced_allocation::BalancedAllocation,
    &node_resources_fit::NodeResourcesFit,
    &pod_topology_spread::PodTopologySpread,
    &taint_toleration::TaintToleration,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_a_table() {
        let mut names: Vec<_> = FILTERS.iter().map(|filter| filter.name()).collect();
        names.extend(SCORES.iter().map(|score| score.name()));
        names.sort_unstable();
        names.dedup();
        let files = include_str!("plugins.rs").lines().filter(|line| line.starts_with("pub mod ")).count();
        assert_eq!(names.len(), files, "{names:?}");
    }
}
