//! StatefulSet: pods with names that stay, made and taken away in order.
//!
//! There is at most one pod of an ordinal, whatever this controller believes: the name is the identity, the store has one
//! object of a name, and a pod on its way out has its name until its node confirmed that it has ended. What a stale cache does
//! not show can only be created, and that is refused. Pods of others are not touched, and a name that one of them has is waited
//! for.
//! An ordered set makes one move and waits until it is done, a parallel one makes all at once; moves and their order are
//! upstream's (`stateful_set_control`), and so it is that a broken pod stops an ordered rollout until it is deleted by hand. What
//! cannot be changed of a pod, its volumes, is not: it is as it was made.
//! Rollback is kubectl's: it patches the template, and an equal old ControllerRevision becomes the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    ControllerRevision, RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::caches::decode;
use crate::caches::resources::{CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS};
use crate::meta;
use crate::plan::{Pace, Plan};
use crate::pod_digest::Phase;
use crate::replica_set::{PodView, available_in, views};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, controller_of, itself};

mod claims;
mod identity;
mod ownership;
mod revisions;
mod rolling;
mod scaling;
mod status;

pub(crate) use identity::POD_NAME;
use revisions::{Revision, Revisions};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "stateful_set",
    component: "statefulset-controller",
    workers: 4,
    watches: &[
        Watch { resource: Some(STATEFUL_SETS), keys: itself },
        Watch { resource: Some(PODS), keys: of_pod },
        Watch { resource: Some(CONTROLLER_REVISIONS), keys: of_revision },
        Watch { resource: Some(PERSISTENT_VOLUME_CLAIMS), keys: of_gone_claim },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub stateful_set: &'a StatefulSet,
    /// Every pod that is its own or has a name that it gives.
    pub pods: &'a [PodView<'a>],
    /// The claims that have names as those of its pods.
    pub claims: &'a [PersistentVolumeClaim],
    /// Every revision that is its own, might become so, or has a name that it might choose.
    pub revisions: &'a [ControllerRevision],
    /// The time of day.
    pub now: Timestamp,
}

/// A set, and what was found out about it.
struct Set<'a> {
    view: &'a View<'a>,
    revisions: Revisions<'a>,
    /// Its pods by their ordinals.
    pods: BTreeMap<i64, PodView<'a>>,
    /// The ordinals whose names pods of others have.
    taken: BTreeSet<i64>,
    /// The ordinals that there should be.
    range: Range<i64>,
}

/// Whether there is something to wait for before the next move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Wait,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(selector) = meta::selector(&view.stateful_set.spec.selector).filter(|it| !it.is_everything()) else {
        return plan;
    };
    let own = ownership::claim(view, &selector);
    if !own.claims.is_empty() {
        plan.step(Pace::Together, own.claims);
        return plan;
    }
    let leaving = view.stateful_set.metadata.deletion_timestamp.is_some();
    let revisions =
        if leaving { Some(Revisions::told(view)) } else { revisions::settle(&mut plan, view, own.revisions) };
    let Some(revisions) = revisions else { return plan };
    let set = Set::new(view, revisions, &own.pods);
    if !leaving {
        advance(&mut plan, &set);
        revisions::clean_up(&mut plan, &set);
    }
    status::report(&mut plan, &set);
    plan
}

/// Scaling goes before updates.
fn advance(plan: &mut Plan, set: &Set<'_>) {
    if scaling::fill(plan, set) == Next::Go && scaling::shrink(plan, set) == Next::Go {
        rolling::advance(plan, set);
    }
}

impl<'a> Set<'a> {
    fn new(view: &'a View<'a>, revisions: Revisions<'a>, own: &[PodView<'a>]) -> Self {
        let spec = &view.stateful_set.spec;
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
        let range = i64::from(start)..i64::from(start) + i64::from(spec.replicas.unwrap_or(1).max(0));
        let ordinal = |pod: &PodView<'_>| identity::ordinal(name(view.stateful_set), &pod.object.header().name);
        let by_ordinal = |pods: &[PodView<'a>]| pods.iter().filter_map(|pod| Some((ordinal(pod)?, *pod))).collect();
        let pods: BTreeMap<i64, PodView<'a>> = by_ordinal(own);
        let taken = view.pods.iter().filter_map(ordinal).filter(|ordinal| !pods.contains_key(ordinal)).collect();
        Self { view, revisions, pods, taken, range }
    }

    fn spec(&self) -> &'a StatefulSetSpec {
        &self.view.stateful_set.spec
    }

    fn metadata(&self) -> &'a ObjectMeta {
        &self.view.stateful_set.metadata
    }

    fn is_ordered(&self) -> bool {
        self.spec().pod_management_policy.as_deref() != Some("Parallel")
    }

    /// Running, ready, and so for long enough. One on its way out may still be.
    fn is_available(&self, pod: &PodView<'_>) -> bool {
        let min_ready_seconds = self.spec().min_ready_seconds.unwrap_or_default();
        pod.digest.phase == Phase::Running && available_in(pod.digest, min_ready_seconds, self.view.now) == Some(None)
    }

    fn strategy(&self) -> Option<&'a StatefulSetUpdateStrategy> {
        self.spec().update_strategy.as_ref()
    }

    fn rolling_update(&self) -> Option<&'a RollingUpdateStatefulSetStrategy> {
        self.strategy().and_then(|strategy| strategy.rolling_update.as_ref())
    }

    /// The first ordinal that updates reach.
    fn partition(&self) -> i64 {
        let partition = self.rolling_update().and_then(|rolling| rolling.partition).unwrap_or_default();
        self.range.start + i64::from(partition)
    }

    /// What a new pod of an ordinal is made from.
    fn revision_of(&self, ordinal: i64) -> &Revision {
        if ordinal < self.partition() { &self.revisions.current } else { &self.revisions.update }
    }

    /// Whether a pod has the newest template.
    fn is_updated(&self, pod: &PodView<'_>) -> bool {
        identity::revision(pod) == Some(&self.revisions.update.name)
    }
}

fn name(stateful_set: &StatefulSet) -> &str {
    stateful_set.metadata.name.as_deref().unwrap_or_default()
}

fn key(metadata: &ObjectMeta) -> Key {
    Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let stateful_set: StatefulSet = caches.typed(&STATEFUL_SETS, &item.key)?;
    let uid = stateful_set.metadata.uid.as_deref()?;
    let (namespace, name) = (&item.key.namespace, &item.key.name);
    let mut pods = caches.of(&PODS).owned_by(uid);
    pods.retain(|pod| meta::controller_uid(&pod.object) == Some(uid));
    pods.extend(caches.of(&PODS).in_namespace(namespace).into_iter().filter(|pod| {
        let fits = identity::ordinal(name, &pod.object.header().name).is_some();
        fits && meta::controller_uid(&pod.object) != Some(uid)
    }));
    let prefix = format!("{name}-");
    let revisions = caches.of(&CONTROLLER_REVISIONS).in_namespace(namespace).into_iter().filter(|revision| {
        let controller = meta::controller_uid(&revision.object);
        controller.is_none_or(|owner| owner == uid) || revision.object.header().name.starts_with(&prefix)
    });
    let revisions: Vec<ControllerRevision> =
        revisions.filter_map(|entry| decode(&CONTROLLER_REVISIONS, &entry)).collect();
    let mut claims = Vec::new();
    if stateful_set.spec.volume_claim_templates.as_ref().is_some_and(|templates| !templates.is_empty()) {
        let all = caches.of(&PERSISTENT_VOLUME_CLAIMS).in_namespace(namespace).into_iter();
        let named = all.filter(|claim| claims::may_belong(&claim.object.header().name, name));
        claims.extend(named.filter_map(|entry| decode(&PERSISTENT_VOLUME_CLAIMS, &entry)));
    }
    Some(reconcile(&View {
        stateful_set: &stateful_set,
        pods: &views(&pods),
        claims: &claims,
        revisions: &revisions,
        now: context.now,
    }))
}

/// A pod wakes its set; one that is gone, or nobody's, the set that would give its name, too.
fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, "StatefulSet", &STATEFUL_SETS, wake);
    if occurrence.after.is_some_and(|pod| meta::controller_uid(&pod.object).is_some()) {
        return;
    }
    let Some((name, _)) = occurrence.key.name.rsplit_once('-') else { return };
    let key = Key::new(occurrence.key.namespace.clone(), name);
    if identity::ordinal(name, &occurrence.key.name).is_some() && occurrence.caches.get(&STATEFUL_SETS, &key).is_some()
    {
        wake(Item::new(STATEFUL_SETS, key));
    }
}

fn of_revision(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, "StatefulSet", &STATEFUL_SETS, wake);
}

/// A claim on its way out, or of an earlier pod, is waited for.
fn of_gone_claim(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.after.is_some() {
        return;
    }
    for entry in occurrence.caches.of(&STATEFUL_SETS).in_namespace(&occurrence.key.namespace) {
        if claims::may_belong(&occurrence.key.name, &entry.object.header().name) {
            wake(Item::new(STATEFUL_SETS, Key::of(&entry.object)));
        }
    }
}

#[cfg(test)]
mod tests;
