//! Jobs that ended are kept for people to look at, up to a limit.

use client::Key;
use k8s_openapi::api::batch::v1::Job;

use super::{View, owner};
use crate::caches::resources::JOBS;
use crate::job::finished;
use crate::plan::{Act, Action, Pace, Plan, normal, warning};

/// Deletes the oldest Jobs beyond the limits.
pub(super) fn clean_up(plan: &mut Plan, view: &View<'_>) {
    let spec = &view.cron_job.spec;
    for (end, limit) in [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)] {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let ended = view.jobs.iter().filter(|job| {
            let how = job.status.as_ref().and_then(finished).map(|condition| condition.type_.as_str());
            how == Some(end) && job.metadata.deletion_timestamp.is_none()
        });
        let mut ended: Vec<&Job> = ended.collect();
        ended.sort_by_key(|job| {
            let start = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
            (start.is_none(), start, job.metadata.name.clone())
        });
        let surplus = ended.len().saturating_sub(limit);
        plan.step(Pace::Together, ended.into_iter().take(surplus).map(|job| delete(view, job)).collect());
    }
}

/// Deletes a Job, and says so.
pub(super) fn delete(view: &View<'_>, job: &Job) -> Act {
    let about = owner(view.cron_job).about();
    let name = job.metadata.name.clone().unwrap_or_default();
    let key = Key::new(job.metadata.namespace.clone().unwrap_or_default(), name.as_str());
    let uid = job.metadata.uid.clone().unwrap_or_default();
    Act::from(Action::Delete { resource: JOBS, key, uid, grace_seconds: None, foreground: false })
        .say(normal(&about, "SuccessfulDelete", format!("Deleted job {name}")))
        .complain(warning(&about, "FailedDelete", "Deleted job: "))
}
