//! ReplicaSet: keeps as many pods of a template as asked for.
//!
//! Takes in orphans its selector matches and lets go what it matches no longer; creates in growing batches; deletes by
//! upstream's ranking (`ActivePodsWithRanks`); reports in status and conditions. It does not touch running pods when the
//! template changes: that is [`crate::deployment`]'s work.

use std::time::Duration;

use api::selector::LabelSelector;
use api::stored::{Header, StoredObject};
use client::{Key, Resource};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::caches::resources::{PODS, REPLICA_SETS};
use crate::caches::{Cached, Caches, Digest, decode};
use crate::meta::{self, Names};
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Pace, Plan, normal, warning};
use crate::pod_digest::PodDigest;
use crate::runtime::{Context, Controller, Failure, Item, Occurrence, Watch, controller_of, itself};

pub(crate) mod ranking;
mod status;

/// As upstream: more than this at a time starves other controllers.
const BURST: usize = 500;

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "replica_set",
    component: "replicaset-controller",
    workers: 4,
    watches: &[Watch { resource: Some(REPLICA_SETS), keys: itself }, Watch { resource: Some(PODS), keys: of_pod }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub replica_set: &'a ReplicaSet,
    /// Every pod that is its own, or might become so.
    pub pods: &'a [PodView<'a>],
    /// The nodes of all pods of the same Deployment, with repetition: fuller nodes lose pods first.
    pub related_nodes: &'a [&'a str],
    /// The time of day.
    pub now: Timestamp,
    /// For pod names.
    pub seed: u64,
    /// Why the last plan failed.
    pub last_failure: Option<Failure>,
}

/// A pod as this controller sees it.
#[derive(Clone, Copy)]
pub struct PodView<'a> {
    /// Header and bytes.
    pub object: &'a StoredObject,
    /// The rest.
    pub digest: &'a PodDigest,
}

impl PodView<'_> {
    fn header(&self) -> &Header {
        self.object.header()
    }
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let replica_set = view.replica_set;
    let Some(selector) = meta::selector(&replica_set.spec.selector) else {
        return plan;
    };
    let (owned, claims) = claim(view, &selector);
    plan.step(Pace::Together, claims);
    let active: Vec<PodView<'_>> = owned.iter().copied().filter(|pod| pod.digest.is_active()).collect();
    if replica_set.metadata.deletion_timestamp.is_none() {
        manage(&mut plan, view, &active);
    }
    status::report(&mut plan, view, &owned, &active);
    plan
}

/// The pods that are its own from now on, and the patches that make them so.
fn claim<'a>(view: &View<'a>, selector: &LabelSelector) -> (Vec<PodView<'a>>, Vec<Act>) {
    let metadata = &view.replica_set.metadata;
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let leaving = metadata.deletion_timestamp.is_some();
    let (mut owned, mut claims) = (Vec::new(), Vec::new());
    for pod in view.pods {
        let matches = meta::selects(selector, pod.header());
        match meta::controller_uid(pod.object) {
            Some(owner) if owner == uid && matches => owned.push(*pod),
            Some(owner) if owner == uid && !leaving => claims.push(release(pod, uid).into()),
            None if matches && !leaving && pod.digest.is_active() => {
                claims.push(adopt(pod, metadata).into());
                owned.push(*pod);
            }
            _ => {}
        }
    }
    (owned, claims)
}

fn adopt(pod: &PodView<'_>, metadata: &ObjectMeta) -> Action {
    let ours = meta::controller_reference("apps/v1", "ReplicaSet", metadata);
    let mut owners = owner_references(pod.object);
    owners.push(to_json(&ours));
    owners_patch(pod, owners)
}

fn release(pod: &PodView<'_>, uid: &str) -> Action {
    let owners = owner_references(pod.object).into_iter().filter(|owner| owner["uid"] != uid).collect();
    owners_patch(pod, owners)
}

/// Sets the owners of a pod, if it still is this one.
pub(crate) fn owners_patch(pod: &PodView<'_>, owners: Vec<serde_json::Value>) -> Action {
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": pod.header().uid}});
    let revision = pod.object.revision().to_string();
    let patch = meta::at_revision(patch, Some(&revision));
    Action::Patch { resource: PODS, key: Key::of(pod.object), subresource: "", patch }
}

/// The owners of an object, as they are written.
pub(crate) fn owner_references(object: &StoredObject) -> Vec<serde_json::Value> {
    let owners = object.header().owner_references.iter().map(|owner| {
        json!({
            "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
            "controller": owner.controller, "blockOwnerDeletion": owner.block_owner_deletion,
        })
    });
    owners.collect()
}

/// Creates what is missing, deletes what is too much.
fn manage(plan: &mut Plan, view: &View<'_>, active: &[PodView<'_>]) {
    let wanted = view.replica_set.spec.replicas.unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let mut names = Names::new(view.seed);
        plan.step(Pace::SlowStart, (0..missing).map(|_| create(view.replica_set, &mut names)).collect());
    } else if active.len() > wanted {
        let surplus = (active.len() - wanted).min(BURST);
        let victims = ranking::first_to_go(active, view.related_nodes, view.now, surplus);
        plan.step(Pace::Together, victims.iter().map(|pod| delete(view.replica_set, pod)).collect());
    }
}

fn create(replica_set: &ReplicaSet, names: &mut Names) -> Act {
    let metadata = &replica_set.metadata;
    let base = format!("{}-", metadata.name.as_deref().unwrap_or_default());
    let name = names.generate(&base);
    let template = replica_set.spec.template.clone().unwrap_or_default();
    let shape = template.metadata.unwrap_or_default();
    let pod = Pod {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            generate_name: Some(base),
            namespace: metadata.namespace.clone(),
            labels: shape.labels,
            annotations: shape.annotations,
            finalizers: shape.finalizers,
            owner_references: Some(vec![meta::controller_reference("apps/v1", "ReplicaSet", metadata)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    };
    let about = meta::reference("apps/v1", "ReplicaSet", metadata);
    Act::from(Action::Create { resource: PODS, body: to_json(&pod) })
        .say(normal(&about, "SuccessfulCreate", format!("Created pod: {name}")))
        .complain(warning(&about, "FailedCreate", "Error creating: "))
}

fn delete(replica_set: &ReplicaSet, pod: &PodView<'_>) -> Act {
    let about = meta::reference("apps/v1", "ReplicaSet", &replica_set.metadata);
    let header = pod.header();
    let uid = header.uid.to_string();
    Act::from(Action::Delete { resource: PODS, key: Key::of(pod.object), uid, grace_seconds: None, foreground: false })
        .say(normal(&about, "SuccessfulDelete", format!("Deleted pod: {}", header.name)))
        .complain(warning(&about, "FailedDelete", "Error deleting: "))
}

/// When a pod becomes available, or `None` when it already is; the outer `None`: it is not even ready.
pub(crate) fn available_in(digest: &PodDigest, min_ready_seconds: i32, now: Timestamp) -> Option<Option<Duration>> {
    let since = digest.ready_since?;
    let min_ready = SignedDuration::from_secs(i64::from(min_ready_seconds));
    let left = min_ready - now.duration_since(since);
    Some(Duration::try_from(left).ok().filter(|left| min_ready_seconds > 0 && !left.is_zero()))
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let replica_set: ReplicaSet = caches.typed(&REPLICA_SETS, &item.key)?;
    let uid = replica_set.metadata.uid.as_deref()?;
    let mut entries = caches.of(&PODS).owned_by(uid);
    let orphans = caches.of(&PODS).in_namespace(&item.key.namespace).into_iter();
    entries.extend(orphans.filter(|pod| meta::controller_uid(&pod.object).is_none()));
    let pods = views(&entries);
    let related = related_pods(caches, &replica_set);
    let related_nodes: Vec<&str> = views(&related).iter().filter(|pod| pod.digest.is_active()).map(node).collect();
    Some(reconcile(&View {
        replica_set: &replica_set,
        pods: &pods,
        related_nodes: &related_nodes,
        now: context.now,
        seed: context.seed,
        last_failure: context.last_failure.clone(),
    }))
}

fn node<'a>(pod: &PodView<'a>) -> &'a str {
    &pod.digest.node
}

/// Pods with their digests.
pub(crate) fn views(entries: &[Cached]) -> Vec<PodView<'_>> {
    let view = |entry| -> Option<PodView<'_>> {
        let entry: &Cached = entry;
        match &entry.projection {
            Digest::Pod(digest) => Some(PodView { object: &entry.object, digest }),
            Digest::None | Digest::Selector(_) => None,
        }
    };
    entries.iter().filter_map(view).collect()
}

/// The pods of all replica sets of the same Deployment.
fn related_pods(caches: &Caches, replica_set: &ReplicaSet) -> Vec<Cached> {
    let owners = replica_set.metadata.owner_references.iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) else { return Vec::new() };
    let siblings = caches.of(&REPLICA_SETS).owned_by(&owner.uid);
    siblings.iter().flat_map(|sibling| caches.of(&PODS).owned_by(&sibling.object.header().uid)).collect()
}

/// A pod wakes its replica set; an orphan that is new or was relabelled wakes those that may adopt it.
fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, "ReplicaSet", &REPLICA_SETS, wake);
    let Some(after) = occurrence.after.filter(|pod| meta::controller_uid(&pod.object).is_none()) else { return };
    let same = |before: &Cached| {
        before.object.header().labels == after.object.header().labels && meta::controller_uid(&before.object).is_none()
    };
    if occurrence.before.is_some_and(same) {
        return;
    }
    for entry in occurrence.caches.of(&REPLICA_SETS).in_namespace(&occurrence.key.namespace) {
        if may_adopt(&REPLICA_SETS, &entry, after.object.header()) {
            wake(Item::new(REPLICA_SETS, Key::of(&entry.object)));
        }
    }
}

fn may_adopt(resource: &Resource, entry: &Cached, pod: &Header) -> bool {
    let replica_set: Option<ReplicaSet> = decode(resource, entry);
    let selector = replica_set.and_then(|replica_set| meta::selector(&replica_set.spec.selector));
    selector.is_some_and(|selector| meta::selects(&selector, pod))
}

#[cfg(test)]
mod tests;
