//! What became of the Jobs of a CronJob.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::{SCHEDULED, View, job_name, owner};
use crate::job::finished;
use crate::meta;
use crate::plan::merge_diff::between;
use crate::plan::{Plan, normal, warning};

pub(super) struct Children<'a> {
    /// Those that run, as far as the schedule began them.
    pub(super) active: Vec<&'a Job>,
    /// The last time of the schedule that began one.
    pub(super) last_schedule: Option<Timestamp>,
    after: CronJobStatus,
}

impl<'a> Children<'a> {
    pub(super) fn new(plan: &mut Plan, view: &View<'a>) -> Self {
        let about = owner(view.cron_job).about();
        let before = view.cron_job.status.clone().unwrap_or_default();
        let listed = before.active.clone().unwrap_or_default();
        let is_listed = |job: &Job| listed.iter().any(|one| one.uid == job.metadata.uid);
        let (mut active, mut new): (Vec<&Job>, Vec<ObjectReference>) = (Vec::new(), Vec::new());
        for job in view.jobs {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            match job.status.as_ref().and_then(finished) {
                None if is_listed(job) => active.push(job),
                // Whoever began it had no time to say so.
                None if scheduled(view, job).is_some() => {
                    active.push(job);
                    new.push(meta::reference("batch/v1", "Job", &job.metadata));
                }
                None => {
                    let message = format!("Saw a job that the controller did not create or forgot: {name}");
                    plan.notes.push(warning(&about, "UnexpectedJob", message));
                }
                Some(end) if is_listed(job) => {
                    let message = format!("Saw completed job: {name}, condition: {}", end.type_);
                    plan.notes.push(normal(&about, "SawCompletedJob", message));
                }
                Some(_) => {}
            }
        }
        for gone in listed.iter().filter(|one| view.jobs.iter().all(|job| job.metadata.uid != one.uid)) {
            // What makes way for another was deleted here.
            if view.cron_job.spec.concurrency_policy.as_deref() != Some("Replace") {
                let message = format!("Active job went missing: {}", gone.name.as_deref().unwrap_or_default());
                plan.notes.push(normal(&about, "MissingJob", message));
            }
        }
        let stays = |one: &ObjectReference| active.iter().any(|job| job.metadata.uid == one.uid);
        let refs: Vec<ObjectReference> = listed.iter().filter(|one| stays(one)).cloned().chain(new).collect();
        let told = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let begun = view.jobs.iter().filter_map(|job| scheduled(view, job)).max();
        let last_schedule = begun.max(told(&before.last_schedule_time));
        let succeeded = view.jobs.iter().filter_map(completed).max();
        let after = CronJobStatus {
            active: (!refs.is_empty()).then_some(refs),
            last_schedule_time: last_schedule.map(Time),
            last_successful_time: succeeded.max(told(&before.last_successful_time)).map(Time),
        };
        Self { active, last_schedule, after }
    }

    /// What of that the status does not tell yet.
    pub(super) fn news(&self, view: &View<'_>) -> Option<Value> {
        between(&view.cron_job.status.clone().unwrap_or_default(), &self.after)
    }
}

/// The time of the schedule that began a Job; `None` if something else did.
fn scheduled(view: &View<'_>, job: &Job) -> Option<Timestamp> {
    let time: Timestamp = job.metadata.annotations.as_ref()?.get(SCHEDULED)?.parse().ok()?;
    (job.metadata.name.as_ref() == Some(&job_name(view.cron_job, time))).then_some(time)
}

/// When a Job completed.
fn completed(job: &Job) -> Option<Timestamp> {
    let status = job.status.as_ref()?;
    finished(status).filter(|end| end.type_ == "Complete")?;
    status.completion_time.as_ref().map(|time| time.0)
}
