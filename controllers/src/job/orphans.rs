//! Pods whose Job is gone: nobody will count them, so nothing keeps them.

use client::Key;
use k8s_openapi::api::batch::v1::Job;

use super::{KIND, labels, pods, untrack};
use crate::caches::Cached;
use crate::caches::resources::{JOBS, PODS};
use crate::meta;
use crate::plan::{Action, Confirm, Plan};
use crate::runtime::{Context, Item, Occurrence};

/// The Job that a pod belongs to; `None` for pods of others.
enum Belongs {
    /// To the Job of this name and identity.
    To(Key, String),
    /// To a Job once, and to nobody now.
    ToNobody,
}

fn belongs(pod: &Cached) -> Option<Belongs> {
    let header = pod.object.header();
    match header.owner_references.iter().find(|owner| owner.controller) {
        Some(owner) if &*owner.kind == KIND && owner.api_version.starts_with("batch/") => {
            Some(Belongs::To(Key::new(&*header.namespace, &*owner.name), owner.uid.to_string()))
        }
        Some(_) => None,
        None => header.label(labels::CONTROLLER_UID).map(|_| Belongs::ToNobody),
    }
}

/// Lets go of a pod, once the store confirms that its Job is gone: the cache of Jobs may lag behind that of pods.
pub(super) fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let entries = [context.caches.get(&PODS, &item.key)?];
    let belongs = belongs(&entries[0])?;
    let decoded = pods::decode(&entries);
    let pod = decoded.first().filter(|pod| pod.is_tracked())?;
    let mut plan = Plan::default();
    match belongs {
        Belongs::To(key, uid) => {
            if exists(&context.caches.get(&JOBS, &key), &uid) {
                return None;
            }
            plan.act(Action::Confirm(Confirm::Absent { resource: JOBS, key, uid: Some(uid) }));
        }
        Belongs::ToNobody => {
            // One that may still be taken in is left to its Job.
            let jobs = context.caches.of(&JOBS).in_namespace(&item.key.namespace);
            let adopts = |entry: &Cached| {
                let job: Option<Job> = crate::caches::decode(&JOBS, entry);
                let selector = job.and_then(|job| meta::selector(job.spec?.selector.as_ref()?));
                selector.is_some_and(|selector| meta::selects(&selector, pod.view.object.header()))
            };
            if jobs.iter().any(adopts) {
                return None;
            }
        }
    }
    plan.act(untrack(pod));
    Some(plan)
}

fn exists(job: &Option<Cached>, uid: &str) -> bool {
    job.as_ref().is_some_and(|job| &*job.object.header().uid == uid)
}

/// A pod without its Job wakes itself.
pub(super) fn of_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    let Some(after) = occurrence.after else { return };
    let orphan = match belongs(after) {
        None => false,
        Some(Belongs::ToNobody) => true,
        Some(Belongs::To(key, uid)) => !exists(&occurrence.caches.get(&JOBS, &key), &uid),
    };
    if orphan {
        wake(Item::new(PODS, occurrence.key.clone()));
    }
}

/// A Job that goes wakes the pods that it leaves.
pub(super) fn of_gone_job(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    let Some(before) = occurrence.before else { return };
    let uid = &before.object.header().uid;
    if occurrence.after.is_some_and(|after| after.object.header().uid == *uid) {
        return;
    }
    for pod in occurrence.caches.of(&PODS).owned_by(uid) {
        wake(Item::new(PODS, Key::of(&pod.object)));
    }
}
