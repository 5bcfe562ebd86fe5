//! Job: runs pods until enough of them have succeeded, or too many have failed.
//!
//! **No pod is counted twice and none is lost.** Each carries a finalizer until its end is in the Job's status. Counting
//! takes three writes, and each reconcile makes those that are due: the identities of pods that ended go to
//! `status.uncountedTerminatedPods`, then their finalizers go, then those without finalizer become numbers. Whoever goes
//! on after a crash finds out from these two places what is done. The status is only written at the revision it was read.
//!
//! How a Job ends is announced (`SuccessCriteriaMet`, `FailureTarget`) before its pods are let go, and declared
//! (`Complete`, `Failed`) when the last of them is gone and counted. Rules, numbers and sentences are upstream's, with one
//! difference: the waits after failures ([`backoff`]) are read off the pods and survive a change of leaders.

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use serde_json::json;

use crate::caches::resources::{JOBS, PODS};
use crate::caches::{Cached, decode};
use crate::meta;
use crate::plan::{Act, Pace, Plan};
use crate::pod_control::{Claim, Owner, patch_metadata};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, controller_of, itself};

mod backoff;
mod facts;
mod failure_policy;
mod indexes;
pub(crate) mod labels;
mod manage;
mod orphans;
mod outcome;
mod pods;
mod status;
mod tracking;

use facts::Facts;
pub use pods::JobPod;
pub(crate) use status::finished;

const API_VERSION: &str = "batch/v1";
const KIND: &str = "Job";
/// Who looks after Jobs that name nobody else.
const MANAGER: &str = "kubernetes.io/job-controller";

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "job",
    component: "job-controller",
    workers: 4,
    watches: &[
        Watch { resource: Some(JOBS), keys: itself },
        Watch { resource: Some(JOBS), keys: orphans::of_gone_job },
        Watch { resource: Some(PODS), keys: of_pod },
        Watch { resource: Some(PODS), keys: orphans::of_pod },
    ],
    reconcile: |context, item| {
        let plan = if item.resource == PODS { orphans::gather(context, item) } else { gather(context, item) };
        plan.unwrap_or_default()
    },
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub job: &'a Job,
    /// Every pod that is its own, or might become so.
    pub pods: &'a [JobPod<'a>],
    /// The time of day.
    pub now: Timestamp,
    /// For pod names.
    pub seed: u64,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let job = view.job;
    let (Some(spec), status) = (job.spec.as_ref(), job.status.clone().unwrap_or_default()) else { return plan };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != MANAGER) || status::is_finished(&status) {
        return plan;
    }
    let (owned, claims) = claim(view, spec);
    if !claims.is_empty() {
        plan.step(Pace::Together, claims);
        return plan;
    }
    advance(&mut plan, &Facts::new(view, spec, &status, owned));
    plan
}

/// One move. The status goes first: what follows relies on it being written.
fn advance(plan: &mut Plan, facts: &Facts<'_>) {
    let leaving = facts.job.metadata.deletion_timestamp.is_some();
    let mut outcome = outcome::decide(facts);
    let mut moves = manage::Moves::default();
    if outcome.is_some() {
        moves.abort.clone_from(&facts.active);
    } else {
        if !leaving {
            moves = manage::moves(facts);
        }
        outcome = outcome::completed(facts);
    }
    let tracking = tracking::track(facts, outcome.as_ref());
    status::report(plan, facts, &tracking, outcome.as_ref());
    if outcome.is_none() {
        plan.wake_after = moves.wait.into_iter().chain(facts.deadline()).min();
    }
    let untrack = tracking.removals.iter().chain(&moves.delete).map(|pod| untrack(pod)).collect();
    plan.step(Pace::Together, untrack);
    let owner = owner(facts.job);
    let deletions = moves.abort.iter().chain(&moves.delete).map(|pod| owner.delete(&pod.view)).collect();
    plan.step(Pace::Together, deletions);
    plan.step(Pace::SlowStart, manage::creations(facts, &moves));
}

fn owner(job: &Job) -> Owner<'_> {
    Owner { api_version: API_VERSION, kind: KIND, metadata: &job.metadata }
}

/// The pods that are its own, and the patches that make or unmake others so.
fn claim<'a>(view: &View<'a>, spec: &JobSpec) -> (Vec<&'a JobPod<'a>>, Vec<Act>) {
    let (mut owned, mut claims) = (Vec::new(), Vec::new());
    let Some(selector) = spec.selector.as_ref().and_then(meta::selector) else { return (owned, claims) };
    let owner = owner(view.job);
    for pod in view.pods {
        let object = pod.view.object;
        match owner.claim(&selector, object) {
            Claim::Owned => owned.push(pod),
            Claim::Adopt => {
                let mut finalizers = pod.other_finalizers();
                finalizers.push(labels::TRACKING);
                let metadata = json!({"ownerReferences": owner.with_us(object), "finalizers": finalizers});
                claims.push(patch_metadata(object, metadata).into());
            }
            Claim::Release => {
                let finalizers = pod.other_finalizers();
                let metadata = json!({"ownerReferences": owner.without_us(object), "finalizers": finalizers});
                claims.push(patch_metadata(object, metadata).into());
            }
            Claim::Foreign => {}
        }
    }
    (owned, claims)
}

/// Lets a pod go that is counted, or need not be.
fn untrack(pod: &JobPod<'_>) -> Act {
    patch_metadata(pod.view.object, json!({"finalizers": pod.other_finalizers()})).into()
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let job: Job = caches.typed(&JOBS, &item.key)?;
    let uid = job.metadata.uid.as_deref()?;
    let mut entries = caches.of(&PODS).owned_by(uid);
    // Who did not choose its selector itself knows its pods by its own identity.
    let chosen = job.spec.as_ref().and_then(|spec| spec.manual_selector) == Some(true);
    let may_fit = |pod: &Cached| {
        let named = chosen || pod.object.header().label(labels::CONTROLLER_UID) == Some(uid);
        named && meta::controller_uid(&pod.object).is_none()
    };
    entries.extend(caches.of(&PODS).in_namespace(&item.key.namespace).into_iter().filter(may_fit));
    let pods = pods::decode(&entries);
    Some(reconcile(&View { job: &job, pods: &pods, now: context.now, seed: context.seed }))
}

/// A pod wakes its Job; an orphan that is new or was relabelled wakes those that may adopt it.
fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    controller_of(occurrence, KIND, &JOBS, wake);
    let Some(after) = occurrence.after.filter(|pod| meta::controller_uid(&pod.object).is_none()) else { return };
    let same = |before: &Cached| {
        before.object.header().labels == after.object.header().labels && meta::controller_uid(&before.object).is_none()
    };
    if occurrence.before.is_some_and(same) {
        return;
    }
    for entry in occurrence.caches.of(&JOBS).in_namespace(&occurrence.key.namespace) {
        let job: Option<Job> = decode(&JOBS, &entry);
        let selector = job.and_then(|job| meta::selector(job.spec?.selector.as_ref()?));
        if selector.is_some_and(|selector| meta::selects(&selector, after.object.header())) {
            wake(Item::new(JOBS, Key::of(&entry.object)));
        }
    }
}

#[cfg(test)]
mod tests;
