//! It is ten minutes past midnight. Jobs in, the plan out.

use expect_test::{Expect, expect};

use super::CONTROLLER;
use crate::testing;

/// A CronJob of these fields and this status.
fn cron_job(spec: &str, status: &str) -> String {
    let template =
        "jobTemplate: {metadata: {labels: {app: tick}}, spec: {template: {spec: {containers: [{name: c}]}}}}";
    let created = "creationTimestamp: '2026-01-01T00:00:30Z'";
    let metadata = format!("metadata: {{name: tick, namespace: a, uid: c1, resourceVersion: '7', {created}}}");
    format!("{{apiVersion: batch/v1, kind: CronJob, {metadata}, spec: {{{template}, {spec}}}, status: {{{status}}}}}")
}

const OWNER: &str = "ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: tick, uid: c1, controller: true}]";

/// A Job that the schedule began at a minute of the hour of the test.
fn job(minute: u32, status: &str) -> String {
    // 29453760 is the hour of the test in minutes.
    let name = format!("tick-{}", 29_453_760 + minute);
    let scheduled = format!("batch.kubernetes.io/cronjob-scheduled-timestamp: '2026-01-01T00:{minute:02}:00Z'");
    let metadata = format!("name: {name}, namespace: a, uid: u{minute}, annotations: {{{scheduled}}}, {OWNER}");
    format!(
        "\n---\n{{apiVersion: batch/v1, kind: Job, metadata: {{{metadata}}}, spec: {{template: {{}}}}, status: {{{status}}}}}"
    )
}

fn complete(minute: u32) -> String {
    let times = format!("startTime: '2026-01-01T00:{minute:02}:01Z', completionTime: '2026-01-01T00:{minute:02}:40Z'");
    job(minute, &format!("{times}, conditions: [{{type: Complete, status: 'True'}}]"))
}

fn listed(minute: u32) -> String {
    format!(
        "active: [{{apiVersion: batch/v1, kind: Job, name: tick-{}, namespace: a, uid: u{minute}}}]",
        29_453_760 + minute
    )
}

fn last(minute: u32) -> String {
    format!("lastScheduleTime: '2026-01-01T00:{minute:02}:00Z'")
}

const EVERY_FIVE: &str = "schedule: '*/5 * * * *'";

#[track_caller]
fn check(given: &str, expect: Expect) {
    testing::check(&CONTROLLER, "cronjobs a/tick", given, expect);
}

#[test]
fn the_job_that_is_due_begins_and_the_next_time_is_slept_for() {
    check(
        &cron_job("schedule: '3,8 * * * *'", &last(3)),
        expect![[r#"
        create jobs.batch a/tick-29453768 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:08:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453768
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:08:00Z"}}
        wake after 3180s
    "#]],
    );
    // The very moment counts; those that were missed before it do not.
    check(
        &cron_job(EVERY_FIVE, ""),
        expect![[r#"
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:10:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        wake after 300s
    "#]],
    );
    check(
        &cron_job("schedule: '12 * * * *'", ""),
        expect![[r#"
        wake after 120s
    "#]],
    );
    check(
        &cron_job("schedule: '@every 4m', timeZone: Asia/Kolkata", &last(2)),
        expect![[r#"
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T05:40:00+05:30"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        wake after 240s
    "#]],
    );
}

#[test]
fn a_time_begins_one_job_whoever_leads() {
    // The last leader began it, and ended before it told so.
    check(
        &(cron_job(EVERY_FIVE, &last(5)) + &job(10, "active: 1")),
        expect![[r#"
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"active":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-29453770","namespace":"a","resourceVersion":"10","uid":"u10"}],"lastScheduleTime":"2026-01-01T00:10:00Z"}}
    "#]],
    );
    let told = format!("{}, {}", listed(10), last(10));
    check(
        &(cron_job(EVERY_FIVE, &told) + &job(10, "active: 1")),
        expect![[r#"
        wake after 300s
    "#]],
    );
    // It is gone already, and what the status tells is enough.
    check(
        &cron_job(EVERY_FIVE, &last(10)),
        expect![[r#"
        wake after 300s
    "#]],
    );
    // Another one has the name.
    check(
        &(cron_job(EVERY_FIVE, &last(5)) + &job(10, "").replace(OWNER, "ownerReferences: []")),
        expect![[r#"
        wake after 300s
    "#]],
    );
}

#[test]
fn a_job_that_ended_or_went_missing_is_active_no_longer() {
    let told = format!("{}, {}", listed(5), last(5));
    let schedule = "schedule: '5 * * * *'";
    check(
        &(cron_job(schedule, &told) + &complete(5)),
        expect![[r#"
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"active":null,"lastSuccessfulTime":"2026-01-01T00:05:40Z"}}
        say Normal SawCompletedJob on tick: Saw completed job: tick-29453765, condition: Complete
    "#]],
    );
    check(
        &cron_job(schedule, &told),
        expect![[r#"
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"active":null}}
        say Normal MissingJob on tick: Active job went missing: tick-29453765
    "#]],
    );
    let settled = format!("{}, lastSuccessfulTime: '2026-01-01T00:05:40Z'", last(5));
    check(
        &(cron_job(schedule, &settled) + &complete(5)),
        expect![[r#"
        wake after 3300s
    "#]],
    );
}

#[test]
fn what_someone_began_by_hand_is_not_counted() {
    let manual = job(7, "active: 1").replace("tick-29453767", "by-hand").replace("cronjob-scheduled-timestamp", "x");
    check(
        &(cron_job("schedule: '5 * * * *'", &last(5)) + &manual),
        expect![[r#"
        say Warning UnexpectedJob on tick: Saw a job that the controller did not create or forgot: by-hand
        wake after 3300s
    "#]],
    );
}

#[test]
fn a_policy_says_what_becomes_of_a_job_that_runs_still() {
    let told = format!("{}, {}", listed(5), last(5));
    let spec = |policy: &str| format!("{EVERY_FIVE}, concurrencyPolicy: {policy}");
    let runs = job(5, "active: 1");
    check(
        &(cron_job(&spec("Allow"), &told) + &runs),
        expect![[r#"
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:10:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        wake after 300s
    "#]],
    );
    check(
        &(cron_job(&spec("Forbid"), &told) + &runs),
        expect![[r#"
        say Normal JobAlreadyActive on tick: Not starting job because prior execution is running and concurrency policy is Forbid
        wake after 300s
    "#]],
    );
    check(
        &(cron_job(&spec("Replace"), &told) + &runs),
        expect![[r#"
        delete jobs.batch a/tick-29453765
          say Normal SuccessfulDelete on tick: Deleted job tick-29453765
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:10:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        wake after 300s
    "#]],
    );
}

#[test]
fn nothing_begins_while_it_is_suspended_or_on_its_way_out() {
    check(
        &cron_job(&format!("{EVERY_FIVE}, suspend: true"), ""),
        expect![[r#"
        nothing to do
    "#]],
    );
    let leaving = cron_job(EVERY_FIVE, "").replace("uid: c1,", "uid: c1, deletionTimestamp: '2026-01-01T00:10:00Z',");
    check(
        &leaving,
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn a_time_that_is_over_for_too_long_is_missed() {
    let spec = |seconds: u32| format!("schedule: '8 * * * *', startingDeadlineSeconds: {seconds}");
    check(
        &cron_job(&spec(130), ""),
        expect![[r#"
        create jobs.batch a/tick-29453768 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:08:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453768
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:08:00Z"}}
        wake after 3480s
    "#]],
    );
    check(
        &cron_job(&spec(100), ""),
        expect![[r#"
        wake after 3480s
    "#]],
    );
}

#[test]
fn more_than_a_hundred_missed_times_are_complained_of() {
    let long_ago = "lastScheduleTime: '2025-12-31T22:00:00Z'";
    check(
        &cron_job("schedule: '* * * * *'", long_ago),
        expect![[r#"
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:10:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        say Warning TooManyMissedTimes on tick: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
        wake after 60s
    "#]],
    );
    let deadline = "schedule: '* * * * *', startingDeadlineSeconds: 200";
    check(
        &cron_job(deadline, long_ago),
        expect![[r#"
        create jobs.batch a/tick-29453770 labels={"app":"tick"} annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T00:10:00Z"}
          say Normal SuccessfulCreate on tick: Created job tick-29453770
        patch cronjobs.batch/status a/tick {"metadata":{"resourceVersion":"7"},"status":{"lastScheduleTime":"2026-01-01T00:10:00Z"}}
        wake after 60s
    "#]],
    );
}

#[test]
fn the_oldest_jobs_go() {
    let spec = "schedule: '5 * * * *', successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0";
    let status = format!("{}, lastSuccessfulTime: '2026-01-01T00:05:40Z'", last(5));
    let failed = complete(3).replace("Complete", "Failed");
    check(
        &(cron_job(spec, &status) + &complete(5) + &complete(2) + &complete(4) + &failed),
        expect![[r#"
        delete jobs.batch a/tick-29453762
          say Normal SuccessfulDelete on tick: Deleted job tick-29453762
        delete jobs.batch a/tick-29453764
          say Normal SuccessfulDelete on tick: Deleted job tick-29453764
        delete jobs.batch a/tick-29453763
          say Normal SuccessfulDelete on tick: Deleted job tick-29453763
        wake after 3300s
    "#]],
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    check(
        &cron_job("schedule: '61 * * * *'", ""),
        expect![[r#"
        say Warning UnparseableSchedule on tick: unparseable schedule: "61 * * * *" : end of range (61) above maximum (59): 61
    "#]],
    );
    check(
        &cron_job(&format!("{EVERY_FIVE}, timeZone: Nowhere/At-All"), ""),
        expect![[r#"
        say Warning UnknownTimeZone on tick: invalid timeZone: "Nowhere/At-All": unknown time zone Nowhere/At-All
    "#]],
    );
    check(
        &cron_job("schedule: '0 0 31 2 *'", ""),
        expect![[r#"
        say Warning InvalidSchedule on tick: invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second
    "#]],
    );
}
