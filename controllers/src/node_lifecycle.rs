//! Node lifecycle: notices nodes that fell silent, taints them, and moves their pods elsewhere.
//!
//! A node is silent when this process has not *received* a renewal of its lease for the grace period. Timestamps in the
//! lease are not looked at, so clocks may differ. A process that began to watch late, or stood still, gives everybody a
//! whole grace period first.
//! Eviction follows the NoExecute taints and the pods' tolerations. On an unreachable node nobody confirms the end of a
//! pod: when its grace is over it is removed by force, so that its replacement is no longer counted beside it. Pods of a
//! StatefulSet are not: another one would be made of the same name while the first may still run, so they stay on their way out.

use std::time::Duration;

use api::surroundings::Planted;
use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::caches::resources::{LEASES, NODES, PODS};
use crate::caches::{Cached, Digest, decode};
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Action, Plan, normal};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

mod eviction;
mod taints;

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// What a silent agent cannot vouch for.
const VOUCHED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "node_lifecycle",
    component: "node-controller",
    workers: 4,
    watches: &[
        Watch { resource: Some(NODES), keys: itself },
        Watch { resource: Some(LEASES), keys: of_lease },
        Watch { resource: Some(PODS), keys: of_pod },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The node.
    pub node: &'a Node,
    /// For how long nothing was heard of it.
    pub silent_for: Duration,
    /// After which it counts as unreachable.
    pub grace: Duration,
    /// Its pods; not needed while it is well.
    pub pods: &'a [Pod],
    /// For pods that do not say.
    pub eviction_after: Duration,
    /// Whether a pod that another one of its name follows is given up as others are; it never is, but for a bug on purpose.
    pub gives_up_named: bool,
    /// The time of day.
    pub now: Timestamp,
}

/// Decides. One move at a time: conditions, then taints, then pods; the next follows when the cache shows the last.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if view.silent_for >= view.grace {
        if let Some(conditions) = unknown_conditions(view) {
            lose(&mut plan, view, &conditions);
            return plan;
        }
    } else {
        plan.wake(view.grace - view.silent_for);
    }
    if let Some(taints) = taints::wanted(view.node, view.now) {
        plan.act(patch(view.node, json!({"spec": {"taints": taints}}), ""));
        return plan;
    }
    eviction::plan(&mut plan, view);
    plan
}

/// The status of the Ready condition.
fn readiness(node: &Node) -> &str {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map_or("Unknown", |ready| &ready.status)
}

/// Everything the agent vouched for becomes unknown. `None`: it is already.
fn unknown_conditions(view: &View<'_>) -> Option<Vec<NodeCondition>> {
    let before = view.node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut conditions = before.clone();
    for kind in VOUCHED {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(view.now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: view.node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(view.now)),
            }),
        }
    }
    (conditions != before).then_some(conditions)
}

fn lose(plan: &mut Plan, view: &View<'_>, conditions: &[NodeCondition]) {
    plan.act(patch(view.node, json!({"status": {"conditions": to_json(&conditions)}}), "status"));
    let name = view.node.metadata.name.as_deref().unwrap_or_default();
    let mut about = meta::reference("v1", "Node", &view.node.metadata);
    // Events of nodes are looked up by name in place of the uid, as the agent writes them.
    about.uid = Some(name.to_owned());
    plan.notes.push(normal(&about, "NodeNotReady", format!("Node {name} status is now: NodeNotReady")));
}

fn patch(node: &Node, patch: serde_json::Value, subresource: &'static str) -> Action {
    let key = Key::new("", node.metadata.name.clone().unwrap_or_default());
    let patch = meta::at_revision(patch, node.metadata.resource_version.as_deref());
    Action::Patch { resource: NODES, key, subresource, patch }
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let entry = caches.get(&NODES, &item.key)?;
    let node: Node = decode(&NODES, &entry)?;
    let lease = caches.get(&LEASES, &Key::new(LEASE_NAMESPACE, item.key.name.clone()));
    // Before it has a lease, its status is the sign of life.
    let heard = lease.filter(renewed).map_or(entry.received, |lease| lease.received);
    let heard = heard.max(context.watching_since);
    let silent_for = context.instant.saturating_duration_since(heard);
    let well = readiness(&node) == "True" && taints::no_execute(&node).next().is_none();
    let pods = if well { Vec::new() } else { pods_on(context, &item.key.name) };
    Some(reconcile(&View {
        node: &node,
        silent_for,
        grace: context.settings.node_grace,
        pods: &pods,
        eviction_after: context.settings.eviction_after,
        gives_up_named: context.surroundings.has(Planted::GiveUpNamedPods),
        now: context.now,
    }))
}

fn renewed(lease: &Cached) -> bool {
    let lease: Option<Lease> = decode(&LEASES, lease);
    lease.and_then(|lease| lease.spec?.renew_time).is_some()
}

fn pods_on(context: &Context<'_>, node: &str) -> Vec<Pod> {
    let entries = context.caches.of(&PODS).list();
    let here = |entry: &&Cached| matches!(&entry.projection, Digest::Pod(digest) if *digest.node == *node);
    entries.iter().filter(here).filter_map(|entry| decode(&PODS, entry)).collect()
}

fn of_lease(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    // A renewal needs no look: the appointment made at the last one finds the lease renewed and makes the next.
    let first_or_last = occurrence.before.is_none() || occurrence.after.is_none();
    if &*occurrence.key.namespace == LEASE_NAMESPACE && first_or_last {
        wake(Item::new(NODES, Key::new("", occurrence.key.name.clone())));
    }
}

/// A pod that comes to a node, becomes ready or leaves may have to be moved.
fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    let sight = |entry: &Cached| match &entry.projection {
        Digest::Pod(digest) => Some((digest.node.clone(), digest.ready_since.is_some(), digest.deletion)),
        Digest::None | Digest::Selector(_) => None,
    };
    let Some(after) = occurrence.after.and_then(sight) else { return };
    if !after.0.is_empty() && occurrence.before.and_then(sight).as_ref() != Some(&after) {
        wake(Item::new(NODES, Key::new("", &*after.0)));
    }
}

#[cfg(test)]
mod tests;
