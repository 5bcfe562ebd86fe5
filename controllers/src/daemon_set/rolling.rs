//! From pods of old templates to pods of the present one: by taking away first, or by adding first.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::pods::DaemonPod;
use super::{Create, Moves};

/// The pods of a node.
enum OnNode<'a> {
    /// One of the present template.
    New(&'a DaemonPod<'a>),
    /// One of an old template.
    Old(&'a DaemonPod<'a>),
    /// One of each: the new one is to take over.
    Both(&'a DaemonPod<'a>, &'a DaemonPod<'a>),
    /// None but such as are on their way out.
    Leaving,
    /// Too many: [`super::placement`] sees to that.
    Unsettled,
}

/// Pods of old templates that are not available are replaced whatever the budget says: nothing is lost by it.
pub(super) fn moves<'a>(facts: &Facts<'a>) -> Moves<'a> {
    match facts.budget() {
        None => Moves::default(),
        Some((0, unavailable)) => take_away(facts, unavailable),
        Some((surge, _)) => add(facts, surge),
    }
}

fn nodes<'f, 'a>(facts: &'f Facts<'a>) -> impl Iterator<Item = (&'a str, OnNode<'a>)> + 'f {
    facts.pods.iter().filter(|(node, _)| !node.is_empty()).map(|(node, pods)| (*node, on_node(facts, pods)))
}

fn on_node<'a>(facts: &Facts<'_>, pods: &[&'a DaemonPod<'a>]) -> OnNode<'a> {
    let staying = pods.iter().copied().filter(|pod| !pod.is_leaving());
    let (new, old): (Vec<_>, Vec<_>) = staying.partition(|pod| pod.is_of(&facts.hash));
    match (new.as_slice(), old.as_slice()) {
        ([new], []) => OnNode::New(new),
        ([], [old]) => OnNode::Old(old),
        ([new], [old]) => OnNode::Both(new, old),
        ([], []) => OnNode::Leaving,
        _ => OnNode::Unsettled,
    }
}

fn take_away<'a>(facts: &Facts<'a>, allowed: usize) -> Moves<'a> {
    let (mut unavailable, mut delete, mut candidates) = (0, Vec::new(), Vec::new());
    for (_, on_node) in nodes(facts) {
        match on_node {
            OnNode::New(new) => unavailable += usize::from(!facts.is_available(new)),
            OnNode::Old(old) if facts.is_available(old) => candidates.push(old),
            OnNode::Old(old) => {
                unavailable += 1;
                delete.push(old);
            }
            OnNode::Both(..) | OnNode::Leaving | OnNode::Unsettled => unavailable += 1,
        }
    }
    delete.extend(candidates.into_iter().take(allowed.saturating_sub(unavailable)));
    Moves { delete, create: Vec::new() }
}

/// A node that would get no pod today keeps its old one while that is needed; none comes beside it.
fn add<'a>(facts: &Facts<'a>, allowed: usize) -> Moves<'a> {
    let runs: BTreeSet<&str> = facts.running_nodes().collect();
    let (mut surge, mut moves, mut candidates) = (0, Moves::default(), Vec::new());
    let (mut available, mut ends) = (0, Vec::new());
    for (node, on_node) in nodes(facts) {
        available += usize::from(match on_node {
            OnNode::New(pod) | OnNode::Old(pod) => facts.is_available(pod),
            OnNode::Both(new, old) => facts.is_available(new) || facts.is_available(old),
            OnNode::Leaving | OnNode::Unsettled => false,
        });
        let create = Create { node: node.to_owned(), failures: 0 };
        match on_node {
            OnNode::Old(old) if !runs.contains(node) && facts.is_available(old) => ends.push(old),
            OnNode::Old(old) if !runs.contains(node) => moves.delete.push(old),
            // A pod that goes already is nobody's surge: its node may be silent for long.
            OnNode::New(_) | OnNode::Leaving => {}
            OnNode::Old(old) if facts.is_available(old) => candidates.push(create),
            OnNode::Old(_) => moves.create.push(create),
            OnNode::Both(new, old) if facts.is_available(new) => moves.delete.push(old),
            OnNode::Both(..) | OnNode::Unsettled => surge += 1,
        }
    }
    moves.create.extend(candidates.into_iter().take(allowed.saturating_sub(surge)));
    moves.delete.extend(ends.into_iter().take(available.saturating_sub(facts.desired())));
    moves
}
