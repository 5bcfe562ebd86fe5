//! DaemonSet: one pod on every node that fits.
//!
//! Which nodes fit is decided here; a pod is tied to its node by an affinity to the node's name, and the scheduler binds
//! it. Templates are kept as ControllerRevisions, which `kubectl rollout history` and `undo` read, and a pod's label
//! tells of which it is. Rules, numbers and sentences are upstream's. How often the pod of a node has failed in a row is
//! in an annotation of the pod, so that the wait before the next one survives a change of leaders.

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::json;

use crate::caches::resources::{CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS};
use crate::caches::{Cached, decode};
use crate::meta;
use crate::plan::{Act, Action, Pace, Plan, warning};
use crate::pod_control::{Claim, Owner, patch_metadata, patch_metadata_of};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, controller_of, itself};

mod facts;
mod history;
mod node;
mod placement;
mod pods;
mod rolling;
mod status;
mod template;

use facts::Facts;
pub use history::Revision;
pub use node::DaemonNode;
pub use pods::DaemonPod;

const API_VERSION: &str = "apps/v1";
const KIND: &str = "DaemonSet";
/// As upstream: more than this at a time starves other controllers.
const BURST: usize = 250;

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "daemon_set",
    component: "daemonset-controller",
    workers: 2,
    watches: &[
        Watch { resource: Some(DAEMON_SETS), keys: itself },
        Watch {
            resource: Some(CONTROLLER_REVISIONS),
            keys: |occurrence, wake| controller_of(occurrence, KIND, &DAEMON_SETS, wake),
        },
        Watch { resource: Some(NODES), keys: of_node },
        Watch { resource: Some(PODS), keys: of_pod },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub daemon_set: &'a DaemonSet,
    /// All nodes.
    pub nodes: &'a [DaemonNode],
    /// Every pod that is its own, or might become so.
    pub pods: &'a [DaemonPod<'a>],
    /// Every revision that is its own, might become so, or has a name that it might choose.
    pub revisions: &'a [Revision<'a>],
    /// The time of day.
    pub now: Timestamp,
    /// For pod names.
    pub seed: u64,
}

/// What is to be done to pods.
#[derive(Default)]
struct Moves<'a> {
    delete: Vec<&'a DaemonPod<'a>>,
    create: Vec<Create>,
}

/// A pod for a node.
struct Create {
    node: String,
    /// How many pods have failed there in a row.
    failures: u32,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let daemon_set = view.daemon_set;
    let owner = owner(daemon_set);
    let Some(selector) = meta::selector(&daemon_set.spec.selector) else { return plan };
    if selector.is_everything() {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.notes.push(warning(&owner.about(), "SelectingAll", message));
        return plan;
    }
    let (pods, revisions, claims) = claim(view, &selector);
    plan.step(Pace::Together, claims);
    if !plan.steps.is_empty() || daemon_set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let Some(history) = history::settle(&mut plan, view, revisions) else { return plan };
    let facts = Facts::new(view, pods, history.hash());
    let mut moves = placement::moves(&mut plan, &facts);
    if moves.delete.is_empty() && moves.create.is_empty() {
        moves = rolling::moves(&facts);
    }
    let deletions = moves.delete.iter().take(BURST).map(|pod| owner.delete(&pod.view)).collect();
    plan.step(Pace::Together, deletions);
    moves.create.truncate(BURST);
    plan.step(Pace::SlowStart, template::creations(&facts, &moves.create));
    history.clean_up(&mut plan, &facts);
    status::report(&mut plan, &facts);
    plan
}

fn owner(daemon_set: &DaemonSet) -> Owner<'_> {
    Owner { api_version: API_VERSION, kind: KIND, metadata: &daemon_set.metadata }
}

type Claimed<'a> = (Vec<&'a DaemonPod<'a>>, Vec<&'a Revision<'a>>, Vec<Act>);

/// The pods and revisions that are its own, and the patches that make or unmake others so.
fn claim<'a>(view: &View<'a>, selector: &api::selector::LabelSelector) -> Claimed<'a> {
    let owner = owner(view.daemon_set);
    let (mut pods, mut revisions, mut claims) = (Vec::new(), Vec::new(), Vec::<Act>::new());
    for pod in view.pods {
        let object = pod.view.object;
        match owner.claim(selector, object) {
            Claim::Owned => pods.push(pod),
            Claim::Adopt => {
                claims.push(patch_metadata(object, json!({"ownerReferences": owner.with_us(object)})).into())
            }
            Claim::Release => {
                claims.push(patch_metadata(object, json!({"ownerReferences": owner.without_us(object)})).into());
            }
            Claim::Foreign => {}
        }
    }
    for revision in view.revisions {
        let patch = |owners: Vec<serde_json::Value>| -> Action {
            patch_metadata_of(CONTROLLER_REVISIONS, revision.object, json!({ "ownerReferences": owners }))
        };
        match owner.claim(selector, revision.object) {
            Claim::Owned => revisions.push(revision),
            Claim::Adopt => claims.push(patch(owner.with_us(revision.object)).into()),
            Claim::Release => claims.push(patch(owner.without_us(revision.object)).into()),
            Claim::Foreign => {}
        }
    }
    (pods, revisions, claims)
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let daemon_set: DaemonSet = caches.typed(&DAEMON_SETS, &item.key)?;
    let uid = daemon_set.metadata.uid.as_deref()?;
    let mut entries = caches.of(&PODS).owned_by(uid);
    let orphans = caches.of(&PODS).in_namespace(&item.key.namespace).into_iter();
    entries.extend(orphans.filter(|pod| meta::controller_uid(&pod.object).is_none()));
    let prefix = format!("{}-", item.key.name);
    let revisions: Vec<Cached> = caches.of(&CONTROLLER_REVISIONS).in_namespace(&item.key.namespace);
    let relevant = |entry: &&Cached| {
        let controller = meta::controller_uid(&entry.object);
        controller.is_none() || controller == Some(uid) || entry.object.header().name.starts_with(&prefix)
    };
    let revisions: Vec<Revision<'_>> = revisions.iter().filter(relevant).filter_map(Revision::of).collect();
    let nodes: Vec<DaemonNode> = caches.of(&NODES).list().iter().filter_map(DaemonNode::of).collect();
    let pods = pods::decode(&entries);
    Some(reconcile(&View {
        daemon_set: &daemon_set,
        nodes: &nodes,
        pods: &pods,
        revisions: &revisions,
        now: context.now,
        seed: context.seed,
    }))
}

/// A node that comes, goes, or may run other pods than before wakes all daemon sets.
fn of_node(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if let (Some(before), Some(after)) = (occurrence.before, occurrence.after)
        && DaemonNode::of(before) == DaemonNode::of(after)
    {
        return;
    }
    for entry in occurrence.caches.of(&DAEMON_SETS).list() {
        wake(Item::new(DAEMON_SETS, Key::of(&entry.object)));
    }
}

/// A pod wakes its daemon set; an orphan that is new or was relabelled wakes those that may adopt it.
fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, KIND, &DAEMON_SETS, wake);
    let Some(after) = occurrence.after.filter(|pod| meta::controller_uid(&pod.object).is_none()) else { return };
    let same = |before: &Cached| {
        before.object.header().labels == after.object.header().labels && meta::controller_uid(&before.object).is_none()
    };
    if occurrence.before.is_some_and(same) {
        return;
    }
    for entry in occurrence.caches.of(&DAEMON_SETS).in_namespace(&occurrence.key.namespace) {
        let daemon_set: Option<DaemonSet> = decode(&DAEMON_SETS, &entry);
        let selector = daemon_set.and_then(|daemon_set| meta::selector(&daemon_set.spec.selector));
        if selector.is_some_and(|selector| meta::selects(&selector, after.object.header())) {
            wake(Item::new(DAEMON_SETS, Key::of(&entry.object)));
        }
    }
}

#[cfg(test)]
mod tests;
