//! Objects whose owners are gone go too.
//!
//! Background: an object all of whose owners are gone is deleted. Foreground: an object that waits for its dependents
//! has them deleted first. Orphan: the dependents forget the owner. Owners are matched by uid, and that one is gone is
//! confirmed by the store before anything is deleted for it.

use std::time::Duration;

use api::stored::OwnerReference;
use client::{Key, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caches::{Cached, Caches};
use crate::meta;
use crate::plan::{Act, Action, Confirm, Pace, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// An owner of a kind that is not known yet may be gone by the time it is: nobody would be told of that.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "garbage_collector",
    component: "garbage-collector-controller",
    workers: 8,
    watches: &[Watch { resource: None, keys: woken }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// Of which resource the object is.
    pub resource: &'a Resource,
    /// The object.
    pub object: &'a Cached,
    /// Its finalizers, if it is on its way out.
    pub finalizers: &'a [String],
    /// Its owners and what is known of each.
    pub owners: &'a [(OwnerReference, Owner)],
    /// What it owns.
    pub dependents: &'a [(Resource, Cached)],
}

/// What is known of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is there.
    Solid,
    /// It is on its way out and waits for its dependents.
    Waiting,
    /// The caches do not show it. Where it would be.
    Gone(Resource, Key),
    /// Its kind is not served, or not known yet: nothing can be said.
    Unknown,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let header = view.object.object.header();
    let has = |name: &str| view.finalizers.iter().any(|finalizer| finalizer == name);
    if header.deleting {
        if has(ORPHAN) {
            orphan(&mut plan, view);
        } else if has(FOREGROUND) {
            let blocking = view.dependents.iter().any(|(_, dependent)| blocks(dependent, &header.uid));
            if !blocking {
                plan.act(without_finalizer(view, FOREGROUND));
            }
        }
        return plan;
    }
    if view.owners.is_empty() {
        return plan;
    }
    let gone: Vec<_> = view.owners.iter().filter(|(_, owner)| matches!(owner, Owner::Gone(..))).collect();
    let waiting = view.owners.iter().any(|(_, owner)| *owner == Owner::Waiting);
    let kept = view.owners.iter().any(|(_, owner)| matches!(owner, Owner::Solid | Owner::Unknown));
    if gone.is_empty() && !waiting {
        return plan;
    }
    let confirm = gone.iter().filter_map(|(reference, owner)| match owner {
        Owner::Gone(resource, key) => Some(Act::from(Action::Confirm(Confirm::Absent {
            resource: resource.clone(),
            key: key.clone(),
            uid: Some(reference.uid.to_string()),
        }))),
        Owner::Solid | Owner::Waiting | Owner::Unknown => None,
    });
    plan.step(Pace::Together, confirm.collect());
    let key = Key::of(&view.object.object);
    if kept {
        let rest = view.owners.iter().filter(|(_, owner)| matches!(owner, Owner::Solid | Owner::Unknown));
        plan.act(owners_patch(view.resource, view.object, rest.map(|(reference, _)| reference)));
    } else {
        let foreground = waiting && !view.dependents.is_empty();
        let uid = header.uid.to_string();
        plan.act(Action::Delete { resource: view.resource.clone(), key, uid, grace_seconds: None, foreground });
    }
    plan
}

fn blocks(dependent: &Cached, owner: &str) -> bool {
    let owners = dependent.object.header().owner_references.iter();
    owners.into_iter().any(|reference| *reference.uid == *owner && reference.block_owner_deletion)
}

/// The dependents forget the owner, then it may go.
fn orphan(plan: &mut Plan, view: &View<'_>) {
    let uid = &view.object.object.header().uid;
    let forget = |(resource, dependent): &(Resource, Cached)| {
        let owners = dependent.object.header().owner_references.iter();
        let rest = owners.filter(|reference| reference.uid != *uid);
        Act::from(owners_patch(resource, dependent, rest))
    };
    plan.step(Pace::Together, view.dependents.iter().map(forget).collect());
    plan.act(without_finalizer(view, ORPHAN));
}

fn without_finalizer(view: &View<'_>, finalizer: &str) -> Action {
    let rest: Vec<&String> = view.finalizers.iter().filter(|other| *other != finalizer).collect();
    conditional(view.resource, view.object, json!({"metadata": {"finalizers": rest}}))
}

fn owners_patch<'a>(resource: &Resource, object: &Cached, owners: impl Iterator<Item = &'a OwnerReference>) -> Action {
    let owners: Vec<Value> = owners
        .map(|owner| {
            let mut value = json!({
                "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
            });
            for (name, set) in [("controller", owner.controller), ("blockOwnerDeletion", owner.block_owner_deletion)] {
                if set {
                    value[name] = true.into();
                }
            }
            value
        })
        .collect();
    conditional(resource, object, json!({"metadata": {"ownerReferences": owners}}))
}

/// Lists are replaced whole, so the patch holds for this revision only.
fn conditional(resource: &Resource, object: &Cached, patch: Value) -> Action {
    let revision = object.object.revision().to_string();
    let patch = meta::at_revision(patch, Some(&revision));
    Action::Patch { resource: resource.clone(), key: Key::of(&object.object), subresource: "", patch }
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let object = caches.get(&item.resource, &item.key)?;
    let header = object.object.header();
    if caches.served().is_empty() {
        return Some(Plan { wake_after: Some(Duration::from_secs(1)), ..Plan::default() });
    }
    let finalizers = if header.deleting { finalizers(&object) } else { Vec::new() };
    let owners: Vec<_> = header
        .owner_references
        .iter()
        .map(|reference| (reference.clone(), owner(caches, &header.namespace, reference)))
        .collect();
    let asked = !finalizers.is_empty() || owners.iter().any(|(_, owner)| *owner == Owner::Waiting);
    let dependents = if asked { dependents(caches, &header.uid) } else { Vec::new() };
    let mut plan = reconcile(&View {
        resource: &item.resource,
        object: &object,
        finalizers: &finalizers,
        owners: &owners,
        dependents: &dependents,
    });
    if !header.deleting && owners.iter().any(|(_, owner)| *owner == Owner::Unknown) {
        plan.wake(LOOK_AGAIN);
    }
    Some(plan)
}

fn owner(caches: &Caches, namespace: &str, reference: &OwnerReference) -> Owner {
    let Some(served) = caches.resource_of(&reference.api_version, &reference.kind) else { return Owner::Unknown };
    let key = Key::new(if served.namespaced { namespace } else { "" }, &*reference.name);
    let cache = caches.of(&served.resource);
    if !cache.has_synced() {
        return Owner::Unknown;
    }
    match cache.get(&key).filter(|entry| entry.object.header().uid == reference.uid) {
        None => Owner::Gone(served.resource, key),
        Some(entry) if entry.object.header().deleting && finalizers(&entry).iter().any(|name| name == FOREGROUND) => {
            Owner::Waiting
        }
        Some(_) => Owner::Solid,
    }
}

fn dependents(caches: &Caches, uid: &str) -> Vec<(Resource, Cached)> {
    let of = |(resource, cache): (Resource, client::Cache<_>)| {
        let owned = cache.owned_by(uid);
        owned.into_iter().map(move |entry| (resource.clone(), entry))
    };
    caches.all().into_iter().flat_map(of).collect()
}

/// The finalizers of an object, which its header does not hold.
pub(crate) fn finalizers(entry: &Cached) -> Vec<String> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        finalizers: Vec<String>,
    }
    let parsed: Result<Object, _> = serde_json::from_slice(entry.object.json());
    parsed.map(|object| object.metadata.finalizers).unwrap_or_default()
}

/// An object wakes itself when its owners or its fate changed, its dependents when it leaves, its owners when it left.
fn woken(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    let itself = || Item::new(occurrence.resource.clone(), occurrence.key.clone());
    let header = |entry: &'_ Cached| -> (bool, usize) {
        (entry.object.header().deleting, entry.object.header().owner_references.len())
    };
    let changed = match (occurrence.before, occurrence.after) {
        (Some(before), Some(after)) => {
            header(before) != header(after)
                || before.object.header().owner_references != after.object.header().owner_references
        }
        (None, Some(after)) => header(after) != (false, 0),
        (_, None) => false,
    };
    if changed {
        wake(itself());
    }
    let leaves = match occurrence.after {
        None => true,
        Some(after) => after.object.header().deleting && changed,
    };
    if !leaves {
        return;
    }
    for entry in occurrence.both() {
        for (resource, dependent) in dependents(occurrence.caches, &entry.object.header().uid) {
            wake(Item::new(resource, Key::of(&dependent.object)));
        }
        if occurrence.after.is_some() {
            continue;
        }
        for reference in &entry.object.header().owner_references {
            let Some(served) = occurrence.caches.resource_of(&reference.api_version, &reference.kind) else { continue };
            let namespace: &str = if served.namespaced { &occurrence.key.namespace } else { "" };
            wake(Item::new(served.resource, Key::new(namespace, &*reference.name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    const OWNED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a, uid: p1, resourceVersion: '5', ownerReferences: [
  {apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: r1, controller: true, blockOwnerDeletion: true}]}
";

    fn owner(uid: &str, extra: &str) -> String {
        format!(
            "{OWNED}\n---\n{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: r, namespace: a, uid: {uid}{extra}}}}}"
        )
    }

    #[test]
    fn a_dependent_lives_as_long_as_its_owner() {
        check(
            &CONTROLLER,
            "pods a/p",
            &owner("r1", ""),
            expect![[r#"
            nothing to do
        "#]],
        );
        check(
            &CONTROLLER,
            "pods a/p",
            OWNED,
            expect![[r#"
            confirm replicasets.apps a/r r1 is gone
            delete pods a/p
        "#]],
        );
        check(
            &CONTROLLER,
            "pods a/p",
            &owner("another", ""),
            expect![[r#"
            confirm replicasets.apps a/r r1 is gone
            delete pods a/p
        "#]],
        );
    }

    #[test]
    fn an_owner_of_a_kind_that_is_not_known_is_looked_for_again() {
        check(
            &CONTROLLER,
            "pods a/p",
            &OWNED.replace("apps/v1, kind: ReplicaSet", "example.com/v1, kind: Widget"),
            expect![[r#"
            wake after 5s
        "#]],
        );
    }

    #[test]
    fn an_owner_that_waits_has_its_dependents_deleted_first() {
        let deleting =
            ", resourceVersion: '9', deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [foregroundDeletion]";
        check(
            &CONTROLLER,
            "pods a/p",
            &owner("r1", deleting),
            expect![[r#"
            delete pods a/p
        "#]],
        );
        check(
            &CONTROLLER,
            "replicasets a/r",
            &owner("r1", deleting),
            expect![[r#"
            nothing to do
        "#]],
        );
        let alone = format!(
            "{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: r, namespace: a, uid: r1{deleting}}}}}"
        );
        check(
            &CONTROLLER,
            "replicasets a/r",
            &alone,
            expect![[r#"
            patch replicasets.apps a/r {"metadata":{"finalizers":[],"resourceVersion":"9"}}
        "#]],
        );
    }

    #[test]
    fn orphans_forget_their_owner() {
        let deleting = ", resourceVersion: '9', deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [orphan]";
        check(
            &CONTROLLER,
            "replicasets a/r",
            &owner("r1", deleting),
            expect![[r#"
            patch pods a/p {"metadata":{"ownerReferences":[],"resourceVersion":"5"}}
            patch replicasets.apps a/r {"metadata":{"finalizers":[],"resourceVersion":"9"}}
        "#]],
        );
    }
}
