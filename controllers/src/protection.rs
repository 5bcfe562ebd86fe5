//! Objects that others use go last: a finalizer keeps each until nothing uses it any more.
//!
//! The API server puts the finalizer on new objects (StorageObjectInUseProtection); where it is missing, as on objects that are
//! older than that, it is added here.

use client::{Key, Resource};
use serde_json::{Value, json};

use crate::caches::{Cached, Caches};
use crate::garbage_collector::finalizers;
use crate::meta::at_revision;
use crate::plan::{Act, Action, Confirm, Pace, Plan};
use crate::runtime::{Context, Item, Occurrence};

/// How objects of a resource are kept.
pub(crate) struct Protection {
    /// What keeps them.
    pub(crate) finalizer: &'static str,
    /// Whether the object itself says that it is used.
    pub(crate) is_used: fn(&Value) -> bool,
    /// Whose objects may use it.
    pub(crate) users: &'static [User],
}

/// Objects that may use others.
pub(crate) struct User {
    /// Of which resource; those in the namespace of what is used.
    pub(crate) resource: Resource,
    /// Whether this object uses the one of this key.
    pub(crate) uses: fn(&Value, &Key) -> bool,
}

/// All that is looked at.
pub(crate) struct View<'a> {
    resource: &'a Resource,
    object: &'a Cached,
    finalizers: Vec<String>,
    is_used: bool,
}

/// Decides. The users are counted again by the store before the finalizer goes: a cache that lags may not know the latest.
fn reconcile(protection: &Protection, view: View<'_>) -> Plan {
    let mut plan = Plan::default();
    let key = Key::of(&view.object.object);
    let is_kept = view.finalizers.iter().any(|finalizer| finalizer == protection.finalizer);
    let deleting = view.object.object.header().deleting;
    let mut rest = view.finalizers;
    match (deleting, is_kept) {
        (false, false) => rest.push(protection.finalizer.to_owned()),
        (true, true) if !view.is_used => {
            let unused = |user: &User| {
                let (by, used) = (user.resource.clone(), key.clone());
                Act::from(Action::Confirm(Confirm::Unused { key: used, by, uses: user.uses }))
            };
            plan.step(Pace::Together, protection.users.iter().map(unused).collect());
            rest.retain(|finalizer| finalizer != protection.finalizer);
        }
        _ => return plan,
    }
    let revision = view.object.object.revision().to_string();
    let patch = at_revision(json!({ "metadata": { "finalizers": rest } }), Some(&revision));
    plan.act(Action::Patch { resource: view.resource.clone(), key, subresource: "", patch });
    plan
}

/// Looks, and decides.
pub(crate) fn protect(protection: &Protection, context: &Context<'_>, item: &Item) -> Plan {
    let Some(object) = context.caches.get(&item.resource, &item.key) else { return Plan::default() };
    let finalizers = finalizers(&object);
    let used_by = |user: &User| {
        let cache = context.caches.of(&user.resource);
        let users = if item.key.namespace.is_empty() { cache.list() } else { cache.in_namespace(&item.key.namespace) };
        users.iter().any(|entry| (user.uses)(&value(entry), &item.key))
    };
    // Who stays is not asked for who uses it.
    let is_used = object.object.header().deleting
        && ((protection.is_used)(&value(&object)) || protection.users.iter().any(used_by));
    reconcile(protection, View { resource: &item.resource, object: &object, finalizers, is_used })
}

/// Wakes one object if it waits to go.
pub(crate) fn wake_waiting(caches: &Caches, resource: Resource, key: Key, wake: &mut dyn FnMut(Item)) {
    if caches.get(&resource, &key).is_some_and(|entry| entry.object.header().deleting) {
        wake(Item::new(resource, key));
    }
}

/// What both states of an object say that it uses, by name.
pub(crate) fn used_names(occurrence: &Occurrence<'_>, names: fn(&Value) -> Vec<String>) -> Vec<String> {
    occurrence.both().flat_map(|entry| names(&value(entry))).collect()
}

fn value(entry: &Cached) -> Value {
    serde_json::from_slice(entry.object.json()).unwrap_or_default()
}
