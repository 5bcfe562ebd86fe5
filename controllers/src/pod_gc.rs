//! Pods of nodes that are gone are removed: nobody else will ever finish their deletion.
//!
//! Whether the node is gone is confirmed by the store: the pod may have been bound to a node so new that the cache of
//! nodes does not show it yet.

use client::Key;

use crate::caches::resources::{NODES, PODS};
use crate::caches::{Cached, Digest};
use crate::plan::{Act, Action, Confirm, Pace, Plan};
use crate::replica_set::{PodView, views};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "pod_gc",
    component: "pod-garbage-collector",
    workers: 2,
    watches: &[Watch { resource: Some(PODS), keys: scheduled }, Watch { resource: Some(NODES), keys: of_gone_node }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The pod.
    pub pod: PodView<'a>,
    /// Whether its node exists.
    pub node_exists: bool,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let header = view.pod.object.header();
    let node = &view.pod.digest.node;
    if node.is_empty() {
        // Never started: nothing has to stop.
        if view.pod.digest.deletion.is_none() {
            return plan;
        }
    } else if view.node_exists {
        return plan;
    } else {
        let gone = Confirm::Absent { resource: NODES, key: Key::new("", &**node), uid: None };
        plan.step(Pace::Together, vec![Act::from(Action::Confirm(gone))]);
    }
    plan.act(Action::Delete {
        resource: PODS,
        key: Key::of(view.pod.object),
        uid: header.uid.to_string(),
        grace_seconds: Some(0),
        foreground: false,
    });
    plan
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let entry: Cached = context.caches.get(&PODS, &item.key)?;
    let entries = [entry];
    let pod = *views(&entries).first()?;
    let node_exists = context.caches.get(&NODES, &Key::new("", &*pod.digest.node)).is_some();
    Some(reconcile(&View { pod, node_exists }))
}

fn scheduled(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if let Some(after) = occurrence.after {
        let Digest::Pod(digest) = &after.projection else { return };
        let on_node = !digest.node.is_empty();
        let node_exists = on_node && occurrence.caches.get(&NODES, &Key::new("", &*digest.node)).is_some();
        if (on_node && !node_exists) || (!on_node && digest.deletion.is_some()) {
            wake(Item::new(PODS, occurrence.key.clone()));
        }
    }
}

fn of_gone_node(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.after.is_some() {
        return;
    }
    for entry in occurrence.caches.of(&PODS).list() {
        if matches!(&entry.projection, Digest::Pod(digest) if *digest.node == *occurrence.key.name) {
            wake(Item::new(PODS, Key::of(&entry.object)));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a, uid: u1}, spec: {nodeName: gone}}";

    #[test]
    fn a_pod_of_a_missing_node_is_removed() {
        check(
            &CONTROLLER,
            "pods a/p",
            POD,
            expect![[r#"
            confirm nodes gone  is gone
            delete pods a/p grace=0s
        "#]],
        );
        let node = "{apiVersion: v1, kind: Node, metadata: {name: gone}}";
        check(
            &CONTROLLER,
            "pods a/p",
            &format!("{POD}\n---\n{node}"),
            expect![[r#"
            nothing to do
        "#]],
        );
    }

    #[test]
    fn an_unscheduled_pod_on_its_way_out_is_removed_at_once() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a, uid: u1, deletionTimestamp: '2026-01-01T00:00:00Z'}}";
        check(
            &CONTROLLER,
            "pods a/p",
            pod,
            expect![[r#"
            delete pods a/p grace=0s
        "#]],
        );
    }
}
