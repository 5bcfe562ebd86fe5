//! Deployment: leads its pods from one template to the next, through ReplicaSets.
//!
//! One reconcile makes one move: adopt, create the new ReplicaSet, scale one side, clean up. The next move follows when
//! the cache shows the last one. The order of moves and all numbers, reasons and sentences are upstream's, because
//! `kubectl rollout` reads them. Rollback is kubectl's: it patches the template, and an equal old ReplicaSet becomes new.

use api::surroundings::Planted;
use client::{Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use serde_json::json;

use crate::caches::decode;
use crate::caches::resources::{DEPLOYMENTS, PODS, REPLICA_SETS};
use crate::meta;
use crate::plan::{Act, Action, Pace, Plan, normal};
use crate::replica_set::{PodView, views};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, controller_of, itself};

mod annotations;
mod budget;
mod history;
mod new_replica_set;
mod recreate;
mod rolling;
mod scaling;
mod status;

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "deployment",
    component: "deployment-controller",
    workers: 4,
    watches: &[
        Watch { resource: Some(DEPLOYMENTS), keys: itself },
        Watch { resource: Some(REPLICA_SETS), keys: of_replica_set },
        Watch { resource: Some(PODS), keys: of_gone_pod },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub deployment: &'a Deployment,
    /// Every replica set of the namespace that is its own, might become so, or has a name that it might choose.
    pub replica_sets: &'a [ReplicaSet],
    /// The pods of its replica sets; only a Recreate looks at them.
    pub pods: &'a [PodView<'a>],
    /// The time of day.
    pub now: Timestamp,
}

/// The replica sets by their role.
struct Sets<'a> {
    /// The one with the template of the deployment.
    new: Option<&'a ReplicaSet>,
    /// All others, oldest first.
    old: Vec<&'a ReplicaSet>,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let spec = &view.deployment.spec;
    let Some(selector) = meta::selector(&spec.selector).filter(|selector| !selector.is_everything()) else {
        return plan;
    };
    let (owned, claims) = claim(view, &selector);
    if !claims.is_empty() {
        plan.step(Pace::Together, claims);
        return plan;
    }
    let sets = Sets::new(spec, owned);
    if view.deployment.metadata.deletion_timestamp.is_some() {
        status::report(&mut plan, view, &sets, status::Rollout::Still, None);
        return plan;
    }
    let paused = spec.paused == Some(true);
    if paused || scaling::is_wanted(spec, &sets) {
        let found = if paused { Some(new_replica_set::sync(&mut plan, view, &sets)) } else { None };
        if !matches!(found, Some(new_replica_set::Sync::Changed)) {
            scaling::scale(&mut plan, view, &sets);
        }
        if paused {
            history::clean_up(&mut plan, view, &sets);
        }
        status::report(&mut plan, view, &sets, status::Rollout::Still, None);
        return plan;
    }
    let strategy = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    let reason = match strategy {
        Some("Recreate") => recreate::advance(&mut plan, view, &sets),
        _ => rolling::advance(&mut plan, view, &sets),
    };
    if plan.steps.is_empty() && status::is_complete(view, &sets) {
        history::clean_up(&mut plan, view, &sets);
    }
    status::report(&mut plan, view, &sets, status::Rollout::Moves, reason);
    plan
}

/// The replica sets that are its own, and the patches that make or unmake them so.
fn claim<'a>(view: &View<'a>, selector: &api::selector::LabelSelector) -> (Vec<&'a ReplicaSet>, Vec<Act>) {
    let metadata = &view.deployment.metadata;
    let leaving = metadata.deletion_timestamp.is_some();
    let (mut owned, mut claims) = (Vec::new(), Vec::new());
    for replica_set in view.replica_sets {
        let labels = replica_set.metadata.labels.clone().unwrap_or_default();
        let matches = meta::selects_labels(selector, &labels);
        let owners = replica_set.metadata.owner_references.clone().unwrap_or_default();
        let controller = owners.iter().find(|owner| owner.controller == Some(true));
        match controller {
            Some(owner) if Some(&owner.uid) == metadata.uid.as_ref() => {
                if matches {
                    owned.push(replica_set);
                } else if !leaving {
                    let rest = owners.iter().filter(|other| other.uid != owner.uid).cloned().collect();
                    claims.push(own(replica_set, rest));
                }
            }
            None if matches && !leaving && replica_set.metadata.deletion_timestamp.is_none() => {
                let mut all = owners.clone();
                all.push(meta::controller_reference("apps/v1", "Deployment", metadata));
                claims.push(own(replica_set, all));
            }
            _ => {}
        }
    }
    (owned, claims)
}

fn own(replica_set: &ReplicaSet, owners: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>) -> Act {
    patch_replica_set(replica_set, json!({"metadata": {"ownerReferences": owners}})).into()
}

impl<'a> Sets<'a> {
    fn new(spec: &DeploymentSpec, mut owned: Vec<&'a ReplicaSet>) -> Self {
        owned.sort_by_key(|replica_set| by_creation(replica_set));
        let new = owned.iter().copied().find(|replica_set| new_replica_set::has_template(replica_set, spec));
        let is_new = |replica_set: &ReplicaSet| new.is_some_and(|new| new.metadata.uid == replica_set.metadata.uid);
        owned.retain(|replica_set| !is_new(replica_set));
        Self { new, old: owned }
    }

    fn all(&self) -> impl Iterator<Item = &'a ReplicaSet> {
        self.old.iter().copied().chain(self.new)
    }
}

fn by_creation(replica_set: &ReplicaSet) -> (Option<Timestamp>, String) {
    let metadata = &replica_set.metadata;
    (metadata.creation_timestamp.as_ref().map(|time| time.0), name(replica_set).to_owned())
}

fn name(replica_set: &ReplicaSet) -> &str {
    replica_set.metadata.name.as_deref().unwrap_or_default()
}

/// How many pods it asks for.
fn asked(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.replicas.unwrap_or(1)
}

/// How many of its pods are available and stay: a status older than the spec counts pods that the spec has given up.
fn available(replica_set: &ReplicaSet) -> i32 {
    let told = replica_set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    told.min(asked(replica_set))
}

/// How many pods it has.
fn actual(replica_set: &ReplicaSet) -> i32 {
    replica_set.status.as_ref().map(|status| status.replicas).unwrap_or_default()
}

/// How many pods the deployment asks for.
fn wanted(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// Scales a replica set and notes what it was scaled for. Nothing when all is so already.
fn scale_to(view: &View<'_>, spec: &DeploymentSpec, replica_set: &ReplicaSet, size: i32) -> Option<Act> {
    let mut patch = json!({});
    let before = asked(replica_set);
    if before != size {
        patch["spec"]["replicas"] = size.into();
    }
    let notes = annotations::sizes(spec);
    if let Some(changed) = annotations::missing(replica_set, &notes) {
        patch["metadata"]["annotations"] = changed;
    }
    if patch == json!({}) {
        return None;
    }
    let act = Act::from(patch_replica_set(replica_set, patch));
    if before == size {
        return Some(act);
    }
    let direction = if size > before { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {} from {before} to {size}", name(replica_set));
    let about = meta::reference("apps/v1", "Deployment", &view.deployment.metadata);
    Some(act.say(normal(&about, "ScalingReplicaSet", message)))
}

fn patch_replica_set(replica_set: &ReplicaSet, patch: serde_json::Value) -> Action {
    let metadata = &replica_set.metadata;
    let patch = meta::at_revision(patch, metadata.resource_version.as_deref());
    Action::Patch { resource: REPLICA_SETS, key: key(metadata), subresource: "", patch }
}

fn key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Key {
    Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let deployment: Deployment = caches.typed(&DEPLOYMENTS, &item.key)?;
    let uid = deployment.metadata.uid.as_deref()?;
    let prefix = format!("{}-", item.key.name);
    let mut replica_sets = Vec::new();
    let mut pods = Vec::new();
    for entry in caches.of(&REPLICA_SETS).in_namespace(&item.key.namespace) {
        let header = entry.object.header();
        let controller = meta::controller_uid(&entry.object);
        let ours = controller == Some(uid);
        if ours || controller.is_none() || header.name.starts_with(&prefix) {
            replica_sets.extend(decode::<ReplicaSet>(&REPLICA_SETS, &entry));
        }
        if ours {
            pods.extend(caches.of(&PODS).owned_by(&header.uid));
        }
    }
    if context.surroundings.has(Planted::BelieveInPods) {
        for set in &mut replica_sets {
            let asked = set.spec.replicas;
            set.status.get_or_insert_default().available_replicas = asked;
        }
    }
    let pods = views(&pods);
    Some(reconcile(&View { deployment: &deployment, replica_sets: &replica_sets, pods: &pods, now: context.now }))
}

/// A replica set wakes its deployment; an orphan, all that may adopt it.
fn of_replica_set(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, "Deployment", &DEPLOYMENTS, wake);
    let orphan = |after: &&crate::caches::Cached| meta::controller_uid(&after.object).is_none();
    if occurrence.after.filter(orphan).is_some() {
        for entry in occurrence.caches.of(&DEPLOYMENTS).in_namespace(&occurrence.key.namespace) {
            wake(Item::new(DEPLOYMENTS, Key::of(&entry.object)));
        }
    }
}

/// A Recreate waits for the last old pod: only that it is gone matters.
fn of_gone_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    let (Some(before), None) = (occurrence.before, occurrence.after) else { return };
    let owners = before.object.header().owner_references.iter();
    for owner in owners.filter(|owner| owner.controller && &*owner.kind == "ReplicaSet") {
        let key = Key::new(occurrence.key.namespace.clone(), &*owner.name);
        let Some(replica_set) = occurrence.caches.get(&REPLICA_SETS, &key) else { continue };
        for owner in replica_set.object.header().owner_references.iter().filter(|owner| owner.controller) {
            let resource: Resource = DEPLOYMENTS;
            wake(Item::new(resource, Key::new(occurrence.key.namespace.clone(), &*owner.name)));
        }
    }
}

#[cfg(test)]
mod tests;
