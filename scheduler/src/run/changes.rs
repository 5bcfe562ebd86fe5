//! From changes of the caches to changes of snapshot and queue.

use tokio::time::Instant;

use super::{NodeChange, PodChange, PodEntry, Shared, key_and_uid, placed, waits};
use crate::plugin::Change;
use crate::queue::Queue;
use crate::snapshot::NodeFacts;

pub(super) fn pod(shared: &Shared, change: &PodChange) {
    let now = Instant::now();
    let mut state = shared.state.lock();
    // A pod that was deleted and made again under its name has another uid.
    let uid = |entry: &PodEntry| entry.object.header().uid.clone();
    if let Some(before) = &change.before
        && change.after.as_ref().is_none_or(|after| uid(after) != uid(before))
    {
        state.queue.remove(&uid(before));
        if state.snapshot.observe(&uid(before), None) {
            state.queue.changed(Change::PodGone, now);
        }
    }
    if let Some(after) = &change.after {
        let facts = after.projection.clone();
        let on_node = facts.as_ref().is_some_and(|facts| !facts.node.is_empty() && !facts.finished);
        let was_on_node = change.before.as_ref().and_then(|before| before.projection.as_ref());
        let was_on_node = was_on_node.is_some_and(|facts| !facts.node.is_empty());
        if state.snapshot.observe(&uid(after), facts.map(|facts| placed(after, facts))) {
            state.queue.changed(Change::PodGone, now);
        }
        if on_node && !was_on_node {
            state.queue.changed(Change::PodPlaced, now);
        }
        if waits(after) {
            enqueue(&mut state.queue, after);
        } else {
            state.queue.remove(&uid(after));
        }
    }
    drop(state);
    shared.wake.notify_one();
}

/// A pod that waits for this scheduler joins the queue.
pub(super) fn enqueue(queue: &mut Queue, entry: &PodEntry) {
    if let Some(facts) = entry.projection.as_ref().filter(|_| waits(entry)) {
        let (key, uid) = key_and_uid(entry);
        queue.add(key, uid, facts.priority);
    }
}

pub(super) fn node(shared: &Shared, change: &NodeChange) {
    let facts = |entry: &super::Entry<Option<std::sync::Arc<NodeFacts>>>| entry.projection.clone();
    let before = change.before.as_deref().and_then(facts);
    let after = change.after.as_deref().and_then(facts);
    if before == after {
        return;
    }
    let kinds = differences(before.as_deref(), after.as_deref());
    let mut state = shared.state.lock();
    state.snapshot.set_node(&change.key.name, after);
    for kind in kinds {
        state.queue.changed(kind, Instant::now());
    }
    drop(state);
    shared.wake.notify_one();
}

fn differences(before: Option<&NodeFacts>, after: Option<&NodeFacts>) -> Vec<Change> {
    let Some(after) = after else { return Vec::new() };
    let Some(before) = before else { return vec![Change::NodeAdded] };
    let mut changes = Vec::new();
    if before.allocatable != after.allocatable || before.pods_max != after.pods_max {
        changes.push(Change::NodeAllocatable);
    }
    if before.labels != after.labels {
        changes.push(Change::NodeLabels);
    }
    if before.taints != after.taints || before.unschedulable != after.unschedulable {
        changes.push(Change::NodeTaints);
    }
    changes
}
