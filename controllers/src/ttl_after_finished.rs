//! A Job that ended goes `ttlSecondsAfterFinished` later, and its pods before it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;

use crate::caches::resources::JOBS;
use crate::job::finished;
use crate::plan::{Action, Plan};
use crate::runtime::{Context, Controller, Item, Watch, itself};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "ttl_after_finished",
    component: "ttl-after-finished-controller",
    workers: 2,
    watches: &[Watch { resource: Some(JOBS), keys: itself }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The Job.
    pub job: &'a Job,
    /// The time of day.
    pub now: Timestamp,
}

/// Decides.
pub fn reconcile(view: &View<'_>, item: &Item) -> Plan {
    let mut plan = Plan::default();
    let metadata = &view.job.metadata;
    let Some(end) = end(view.job).filter(|_| metadata.deletion_timestamp.is_none()) else { return plan };
    match Duration::try_from(end.duration_since(view.now)) {
        Ok(left) if !left.is_zero() => plan.wake(left),
        _ => plan.act(Action::Delete {
            resource: JOBS,
            key: item.key.clone(),
            uid: metadata.uid.clone().unwrap_or_default(),
            grace_seconds: None,
            foreground: true,
        }),
    }
    plan
}

/// When the Job is to go; `None`: not, or not yet known.
fn end(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let ended = finished(job.status.as_ref()?)?.last_transition_time.as_ref()?.0;
    ended.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let job: Job = context.caches.typed(&JOBS, &item.key)?;
    Some(reconcile(&View { job: &job, now: context.now }, item))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::CONTROLLER;

    #[track_caller]
    fn check(seconds: &str, conditions: &str, expect: Expect) {
        let spec = format!("spec: {{template: {{}}, {seconds}}}");
        let status = format!("status: {{conditions: [{conditions}]}}");
        let metadata = "metadata: {name: sum, namespace: a, uid: j1}";
        let job = format!("{{apiVersion: batch/v1, kind: Job, {metadata}, {spec}, {status}}}");
        crate::testing::check(&CONTROLLER, "jobs a/sum", &job, expect);
    }

    #[test]
    fn a_job_goes_when_its_time_is_over() {
        let ended = "{type: Failed, status: 'True', lastTransitionTime: '2026-01-01T00:09:00Z'}";
        check(
            "ttlSecondsAfterFinished: 100",
            ended,
            expect![[r#"
            wake after 40s
        "#]],
        );
        check(
            "ttlSecondsAfterFinished: 60",
            ended,
            expect![[r#"
            delete jobs.batch a/sum foreground
        "#]],
        );
        check(
            "ttlSecondsAfterFinished: 0",
            &ended.replace("True", "False"),
            expect![[r#"
            nothing to do
        "#]],
        );
        check(
            "suspend: false",
            ended,
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}
