//! Namespace deletion: everything in it goes, then the namespace.
//!
//! Contents are seen in the caches; before the finalizer is taken off, the store itself confirms of every resource that
//! it is empty. What holds the deletion up is said in the conditions.

use client::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::caches::resources::{EVENTS, NAMESPACES};
use crate::plan::merge_diff::{json as to_json, merge_diff};
use crate::plan::{Act, Action, Confirm, Pace, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

const FINALIZER: &str = "kubernetes";

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "namespace",
    component: "namespace-controller",
    workers: 2,
    watches: &[Watch { resource: Some(NAMESPACES), keys: itself }, Watch { resource: None, keys: of_gone_content }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// Every resource with namespaces that can be deleted.
    pub resources: &'a [Resource],
    /// What the caches still show.
    pub contents: &'a [Content],
    /// The time of day.
    pub now: Timestamp,
}

/// What a resource has in the namespace.
#[derive(Clone, Debug)]
pub struct Content {
    /// Which.
    pub resource: Resource,
    /// How many objects.
    pub count: usize,
    /// How many of them are not on their way out yet.
    pub untouched: usize,
    /// How many each finalizer holds back.
    pub finalizers: Vec<(String, usize)>,
}

/// Whether things may still be made in it.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let metadata = &view.namespace.metadata;
    let Some(name) = metadata.name.clone().filter(|_| metadata.deletion_timestamp.is_some()) else { return plan };
    report(&mut plan, view, &name);
    let untouched = view.contents.iter().filter(|content| content.untouched > 0);
    let delete_all =
        |resource: &Resource| Act::from(Action::DeleteAll { resource: resource.clone(), namespace: name.clone() });
    plan.step(Pace::Together, untouched.map(|content| delete_all(&content.resource)).collect());
    if !view.contents.is_empty() {
        return plan;
    }
    if view.resources.contains(&EVENTS) {
        plan.step(Pace::Together, vec![delete_all(&EVENTS)]);
    }
    let empty = |resource: &Resource| {
        Act::from(Action::Confirm(Confirm::Empty { resource: resource.clone(), namespace: name.clone() }))
    };
    plan.step(Pace::Together, view.resources.iter().map(empty).collect());
    finalize(&mut plan, view.namespace, name);
    plan
}

/// Takes our finalizer off; the API server removes the object when none is left.
fn finalize(plan: &mut Plan, namespace: &Namespace, name: String) {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return;
    }
    let mut body = namespace.clone();
    let rest: Vec<String> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    body.spec.get_or_insert_default().finalizers = Some(rest);
    // Its status was just patched: the revision read is not the current one, and the uid is condition enough.
    body.metadata.resource_version = None;
    plan.act(Action::Put {
        resource: NAMESPACES,
        key: Key::new("", name),
        subresource: "finalize",
        body: to_json(&body),
    });
}

/// Says in the conditions what holds the deletion up, which is what a hanging deletion is asked for.
fn report(plan: &mut Plan, view: &View<'_>, name: &str) {
    let mut status = view.namespace.status.clone().unwrap_or_default();
    let before = to_json(&status);
    status.phase = Some("Terminating".to_owned());
    let conditions = status.conditions.get_or_insert_default();
    for (kind, holds, reason, message) in findings(view) {
        let value = if holds { "True" } else { "False" };
        let present = conditions.iter().position(|condition| condition.type_ == kind);
        let old = present.map(|index| conditions.remove(index));
        let since = old.as_ref().filter(|old| old.status == value).and_then(|old| old.last_transition_time.clone());
        let condition = NamespaceCondition {
            type_: kind.to_owned(),
            status: value.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(since.unwrap_or(Time(view.now))),
        };
        conditions.insert(present.unwrap_or(conditions.len()), condition);
    }
    if let Some(patch) = merge_diff(&before, &to_json(&status)) {
        let key = Key::new("", name);
        plan.act(Action::Patch { resource: NAMESPACES, key, subresource: "status", patch: json!({"status": patch}) });
    }
}

/// Type, whether it holds, reason and message of each condition.
fn findings<'a>(view: &View<'_>) -> [(&'a str, bool, &'a str, String); 5] {
    let instances = |content: &Content| format!("{} has {} resource instances", content.resource, content.count);
    let contents: Vec<String> = view.contents.iter().map(instances).collect();
    let held = view.contents.iter().flat_map(|content| &content.finalizers);
    let held: Vec<String> =
        held.map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let fine = |kind, reason, message: &str| (kind, false, reason, message.to_owned());
    [
        fine("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        fine(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        if contents.is_empty() {
            fine("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
        } else {
            let message = format!("Some resources are remaining: {}", contents.join(", "));
            ("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
        },
        if held.is_empty() {
            let message = "All content-preserving finalizers finished";
            fine("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", message)
        } else {
            let message = format!("Some content in the namespace has finalizers remaining: {}", held.join(", "));
            ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
        },
    ]
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let namespace: Namespace = context.caches.typed(&NAMESPACES, &item.key)?;
    namespace.metadata.deletion_timestamp.as_ref()?;
    let served = context.caches.served();
    if served.is_empty() {
        // Without discovery nothing can be said to be empty.
        return Some(Plan { wake_after: Some(std::time::Duration::from_secs(1)), ..Plan::default() });
    }
    let resources: Vec<Resource> =
        served.into_iter().filter(|one| one.namespaced && one.deletable).map(|one| one.resource).collect();
    let contents: Vec<Content> =
        resources.iter().filter_map(|resource| content(context, resource, &item.key.name)).collect();
    Some(reconcile(&View { namespace: &namespace, resources: &resources, contents: &contents, now: context.now }))
}

fn content(context: &Context<'_>, resource: &Resource, namespace: &str) -> Option<Content> {
    let entries = context.caches.of(resource).in_namespace(namespace);
    if entries.is_empty() {
        return None;
    }
    let untouched = entries.iter().filter(|entry| !entry.object.header().deleting).count();
    let mut finalizers = std::collections::BTreeMap::<String, usize>::new();
    for entry in entries.iter().filter(|entry| entry.object.header().deleting) {
        for finalizer in crate::garbage_collector::finalizers(entry) {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    Some(Content {
        resource: resource.clone(),
        count: entries.len(),
        untouched,
        finalizers: finalizers.into_iter().collect(),
    })
}

/// Every object that leaves a terminating namespace brings its end nearer.
fn of_gone_content(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.key.namespace.is_empty() || occurrence.after.is_some_and(|after| !after.object.header().deleting) {
        return;
    }
    let key = Key::new("", occurrence.key.namespace.clone());
    let namespace = occurrence.caches.get(&NAMESPACES, &key);
    if namespace.is_some_and(|namespace| namespace.object.header().deleting) {
        wake(Item::new(NAMESPACES, key));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    const TERMINATING: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: a, uid: ns-1, deletionTimestamp: '2026-01-01T00:00:00Z'}
spec: {finalizers: [kubernetes]}
status: {phase: Terminating, conditions: [
  {type: NamespaceDeletionDiscoveryFailure, status: 'False', reason: ResourcesDiscovered, message: All resources successfully discovered, lastTransitionTime: '2026-01-01T00:00:00Z'},
  {type: NamespaceDeletionGroupVersionParsingFailure, status: 'False', reason: ParsedGroupVersions, message: All legacy kube types successfully parsed, lastTransitionTime: '2026-01-01T00:00:00Z'},
  {type: NamespaceDeletionContentFailure, status: 'False', reason: ContentDeleted, message: 'All content successfully deleted, may be waiting on finalization', lastTransitionTime: '2026-01-01T00:00:00Z'},
  {type: NamespaceContentRemaining, status: 'False', reason: ContentRemoved, message: All content successfully removed, lastTransitionTime: '2026-01-01T00:00:00Z'},
  {type: NamespaceFinalizersRemaining, status: 'False', reason: ContentHasNoFinalizers, message: All content-preserving finalizers finished, lastTransitionTime: '2026-01-01T00:00:00Z'}]}
";

    #[test]
    fn an_empty_namespace_is_confirmed_and_finalized() {
        check(
            &CONTROLLER,
            "namespaces a",
            TERMINATING,
            expect![[r#"
                delete all events in a
                confirm no configmaps in a
                confirm no events in a
                confirm no pods in a
                confirm no replicasets.apps in a
                put namespaces/finalize a
            "#]],
        );
    }

    #[test]
    fn contents_go_first_and_what_remains_is_said() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [example.com/x]}}";
        let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: a}}";
        let given = format!("{TERMINATING}\n---\n{pod}\n---\n{map}");
        check(
            &CONTROLLER,
            "namespaces a",
            &given,
            expect![[r#"
            patch namespaces/status a {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"All resources successfully discovered","reason":"ResourcesDiscovered","status":"False","type":"NamespaceDeletionDiscoveryFailure"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"All legacy kube types successfully parsed","reason":"ParsedGroupVersions","status":"False","type":"NamespaceDeletionGroupVersionParsingFailure"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"All content successfully deleted, may be waiting on finalization","reason":"ContentDeleted","status":"False","type":"NamespaceDeletionContentFailure"},{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Some resources are remaining: configmaps has 1 resource instances, pods has 1 resource instances","reason":"SomeResourcesRemain","status":"True","type":"NamespaceContentRemaining"},{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances","reason":"SomeFinalizersRemain","status":"True","type":"NamespaceFinalizersRemaining"}]}}
            delete all configmaps in a
        "#]],
        );
    }

    #[test]
    fn an_active_namespace_is_left_alone() {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}";
        check(
            &CONTROLLER,
            "namespaces a",
            namespace,
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}
