//! CronJob: a Job at each time of a schedule.
//!
//! **A time of the schedule begins at most one Job, whoever leads:** the Job is named by its minute, and the name is taken.
//! Each reconcile makes one move: what became of the Jobs goes to the status, or else the time that is due begins its
//! Job. Then it sleeps until the next time, to the millisecond. Rules and sentences are upstream's. A zone is read from
//! the database in this program, so that all masters agree on it; without one a schedule is read in UTC.

use std::time::Duration;

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::json;

use crate::caches::decode;
use crate::caches::resources::{CRON_JOBS, JOBS};
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Pace, Plan, normal, warning};
use crate::pod_control::Owner;
use crate::runtime::{Context, Controller, Item, Watch, controller_of, itself};

mod children;
mod due;
mod history;
mod timetable;

use children::Children;
use timetable::Timetable;

const API_VERSION: &str = "batch/v1";
const KIND: &str = "CronJob";
/// Annotation of a Job: the time of the schedule that it is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "cron_job",
    component: "cronjob-controller",
    workers: 2,
    watches: &[
        Watch { resource: Some(CRON_JOBS), keys: itself },
        Watch { resource: Some(JOBS), keys: |occurrence, wake| controller_of(occurrence, KIND, &CRON_JOBS, wake) },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The object.
    pub cron_job: &'a CronJob,
    /// The Jobs that are its own.
    pub jobs: &'a [Job],
    /// The names of all Jobs in its namespace that might be in its way.
    pub taken: &'a [String],
    /// The time of day.
    pub now: Timestamp,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let children = Children::new(&mut plan, view);
    if let Some(patch) = children.news(view) {
        // The next move follows when this is seen.
        plan.act(status(view, patch));
        return plan;
    }
    history::clean_up(&mut plan, view);
    let spec = &view.cron_job.spec;
    if view.cron_job.metadata.deletion_timestamp.is_some() || spec.suspend == Some(true) {
        return plan;
    }
    let about = owner(view.cron_job).about();
    match Timetable::new(&spec.schedule, spec.time_zone.as_deref()) {
        Ok(timetable) => begin(&mut plan, view, &children, &timetable),
        Err(problem) => plan.notes.push(warning(&about, problem.reason, problem.message)),
    }
    plan
}

/// Begins the Job that is due, and sleeps until the next one is.
fn begin(plan: &mut Plan, view: &View<'_>, children: &Children<'_>, timetable: &Timetable) {
    let due = due::due(plan, view, children.last_schedule, timetable);
    if let Some(next) = due.next {
        plan.wake(Duration::try_from(next.duration_since(view.now)).unwrap_or_default());
    }
    let Some(time) = due.time else { return };
    let (owner, spec) = (owner(view.cron_job), &view.cron_job.spec);
    let about = owner.about();
    let job = job(view.cron_job, time, timetable);
    let name = job.metadata.name.clone().unwrap_or_default();
    if view.taken.contains(&name) || children.last_schedule == Some(time) {
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !children.active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return plan.notes.push(normal(&about, "JobAlreadyActive", message));
        }
        Some("Replace") => {
            plan.step(Pace::Together, children.active.iter().map(|job| history::delete(view, job)).collect());
        }
        _ => {}
    }
    plan.act(
        Act::from(Action::Create { resource: JOBS, body: to_json(&job) })
            .say(normal(&about, "SuccessfulCreate", format!("Created job {name}")))
            .complain(warning(&about, "FailedCreate", "Error creating job: ")),
    );
    plan.act(status(view, json!({"lastScheduleTime": seconds(time)})));
}

fn owner(cron_job: &CronJob) -> Owner<'_> {
    Owner { api_version: API_VERSION, kind: KIND, metadata: &cron_job.metadata }
}

/// Changes the status, if the object still is as it was seen.
fn status(view: &View<'_>, patch: serde_json::Value) -> Action {
    let revision = view.cron_job.metadata.resource_version.as_deref();
    let patch = meta::at_revision(json!({ "status": patch }), revision);
    Action::Patch { resource: CRON_JOBS, key: owner(view.cron_job).key(), subresource: "status", patch }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The Job of a time of the schedule.
fn job(cron_job: &CronJob, time: Timestamp, timetable: &Timetable) -> Job {
    let owner = owner(cron_job);
    let template = &cron_job.spec.job_template;
    let mut metadata = template.metadata.clone().unwrap_or_default();
    metadata.name = Some(job_name(cron_job, time));
    metadata.namespace.clone_from(&owner.metadata.namespace);
    metadata.annotations.get_or_insert_default().insert(SCHEDULED.to_owned(), timetable.local(time));
    let reference = meta::controller_reference(owner.api_version, owner.kind, owner.metadata);
    metadata.owner_references = Some(vec![reference]);
    Job { metadata, spec: template.spec.clone(), status: None }
}

fn job_name(cron_job: &CronJob, time: Timestamp) -> String {
    let name = cron_job.metadata.name.as_deref().unwrap_or_default();
    format!("{name}-{}", time.as_second().div_euclid(60))
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let cron_job: CronJob = caches.typed(&CRON_JOBS, &item.key)?;
    let uid = cron_job.metadata.uid.as_deref()?;
    let mut jobs: Vec<Job> = caches.of(&JOBS).owned_by(uid).iter().filter_map(|entry| decode(&JOBS, entry)).collect();
    // Who has another owner beside is still another's, if that one controls it.
    jobs.retain(|job| {
        let owners = job.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    });
    let prefix = format!("{}-", item.key.name);
    let others = caches.of(&JOBS).in_namespace(&item.key.namespace).into_iter();
    let names = others.map(|entry| Key::of(&entry.object).name.to_string());
    let taken: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
    Some(reconcile(&View { cron_job: &cron_job, jobs: &jobs, taken: &taken, now: context.now }))
}

#[cfg(test)]
mod tests;
