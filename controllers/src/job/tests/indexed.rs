//! Jobs whose pods have an index each.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::{STARTED, TRACKED, check, exit, job, pod};
use crate::plan::Action;
use crate::testing;

const THREE: &str = "completions: 3, parallelism: 2, completionMode: Indexed";

fn of_index(index: u32, more: &str) -> String {
    format!("annotations: {{batch.kubernetes.io/job-completion-index: '{index}'{more}}}")
}

#[test]
fn every_index_has_a_pod_that_knows_it() {
    check(
        &job(THREE, STARTED),
        expect![[r#"
        create pods a/sum-0-4w4q7 labels={"app":"sum","batch.kubernetes.io/job-completion-index":"0"} annotations={"batch.kubernetes.io/job-completion-index":"0"}
          say Normal SuccessfulCreate on sum: Created pod: sum-0-4w4q7
        create pods a/sum-1-7d44x labels={"app":"sum","batch.kubernetes.io/job-completion-index":"1"} annotations={"batch.kubernetes.io/job-completion-index":"1"}
          say Normal SuccessfulCreate on sum: Created pod: sum-1-7d44x
    "#]],
    );
    let caches = testing::caches(&job(THREE, STARTED));
    let pods = pods_created(&caches);
    let spec = &pods[0]["spec"];
    assert_eq!(spec["hostname"], "sum-0");
    let variable = &spec["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    let path = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], path);
    assert_eq!(pods[1]["metadata"]["finalizers"][0], "batch.kubernetes.io/job-tracking");
    assert_eq!(pods[1]["metadata"]["generateName"], "sum-1-");
}

/// The pods that a reconcile creates.
fn pods_created(caches: &crate::caches::Caches) -> Vec<Value> {
    let acts = testing::plan_for(caches, &super::CONTROLLER, "jobs a/sum").steps.into_iter().flat_map(|step| step.acts);
    let created = acts.filter_map(|act| match act.action {
        Action::Create { body, .. } => Some(body),
        _ => None,
    });
    created.collect()
}

#[test]
fn succeeded_indexes_are_written_as_intervals_and_not_begun_again() {
    let given = pod("b", "Succeeded", &format!("{TRACKED}, {}", of_index(1, "")), &exit(0, "09:30"))
        + &pod("c", "Succeeded", &format!("{TRACKED}, {}", of_index(2, "")), &exit(0, "09:31"));
    let spec = THREE.replace("completions: 3", "completions: 5");
    check(
        &(job(&spec, &format!("completedIndexes: '0', succeeded: 1, active: 2, {STARTED}")) + &given),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null,"completedIndexes":"0-2","succeeded":3}}
        patch pods a/b {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"b"}}
        patch pods a/c {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"c"}}
        create pods a/sum-3-4w4q7 labels={"app":"sum","batch.kubernetes.io/job-completion-index":"3"} annotations={"batch.kubernetes.io/job-completion-index":"3"}
          say Normal SuccessfulCreate on sum: Created pod: sum-3-4w4q7
        create pods a/sum-4-7d44x labels={"app":"sum","batch.kubernetes.io/job-completion-index":"4"} annotations={"batch.kubernetes.io/job-completion-index":"4"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4-7d44x
    "#]],
    );
    // Seen again before the finalizers are gone: nothing is counted twice.
    check(
        &(job(&spec, &format!("completedIndexes: '0-2', succeeded: 3, {STARTED}")) + &given),
        expect![[r#"
        patch pods a/b {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"b"}}
        patch pods a/c {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"c"}}
        create pods a/sum-3-4w4q7 labels={"app":"sum","batch.kubernetes.io/job-completion-index":"3"} annotations={"batch.kubernetes.io/job-completion-index":"3"}
          say Normal SuccessfulCreate on sum: Created pod: sum-3-4w4q7
        create pods a/sum-4-7d44x labels={"app":"sum","batch.kubernetes.io/job-completion-index":"4"} annotations={"batch.kubernetes.io/job-completion-index":"4"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4-7d44x
    "#]],
    );
}

#[test]
fn pods_of_the_same_or_of_no_index_are_too_many() {
    let given = pod("a", "Running", &format!("{TRACKED}, {}", of_index(0, "")), "")
        + &pod("b", "Pending", &format!("{TRACKED}, {}", of_index(0, "")), "")
        + &pod("c", "Running", &format!("{TRACKED}, {}", of_index(7, "")), "")
        + &pod("d", "Running", TRACKED, "");
    check(
        &(job(THREE, &format!("active: 4, {STARTED}")) + &given),
        expect![[r#"
        patch pods a/d {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"d"}}
        patch pods a/b {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"b"}}
        patch pods a/c {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"c"}}
        delete pods a/d
          say Normal SuccessfulDelete on sum: Deleted pod: d
        delete pods a/b
          say Normal SuccessfulDelete on sum: Deleted pod: b
        delete pods a/c
          say Normal SuccessfulDelete on sum: Deleted pod: c
    "#]],
    );
}

#[track_caller]
fn check_limited(status: &str, pods: &str, expect: Expect) {
    let spec = "completions: 2, parallelism: 2, completionMode: Indexed, backoffLimit: 100, backoffLimitPerIndex: 1";
    check(&(job(spec, &format!("{STARTED}, {status}")) + pods), expect);
}

#[test]
fn an_index_has_a_limit_and_a_wait_of_its_own() {
    let running = pod("a", "Running", &format!("{TRACKED}, {}", of_index(0, "")), "");
    let failed = |more: &str, at: &str| pod("b", "Failed", &format!("{TRACKED}, {}", of_index(1, more)), &exit(1, at));
    // The failed pod stays until another one carries its count on.
    check_limited(
        "active: 1, failedIndexes: ''",
        &(running.clone() + &failed("", "09:55")),
        expect![[r#"
        wake after 5s
    "#]],
    );
    check_limited(
        "active: 1, failedIndexes: ''",
        &(running.clone() + &failed("", "09:30")),
        expect![[r#"
        create pods a/sum-1-4w4q7 labels={"app":"sum","batch.kubernetes.io/job-completion-index":"1"} annotations={"batch.kubernetes.io/job-completion-index":"1","batch.kubernetes.io/job-index-failure-count":"1"}
          say Normal SuccessfulCreate on sum: Created pod: sum-1-4w4q7
    "#]],
    );
    let last = failed(", batch.kubernetes.io/job-index-failure-count: '1'", "09:30");
    check_limited(
        "active: 1, failedIndexes: ''",
        &(running + &last),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"failedIndexes":"1","uncountedTerminatedPods":{"failed":["b"]}}}
        patch pods a/b {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"b"}}
    "#]],
    );
    let done = "completedIndexes: '0', succeeded: 1, failed: 2, failedIndexes: '1'";
    check_limited(
        done,
        "",
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has failed indexes","reason":"FailedIndexes","status":"True","type":"FailureTarget"},{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has failed indexes","reason":"FailedIndexes","status":"True","type":"Failed"}]}}
          say Warning FailedIndexes on sum: Job has failed indexes
    "#]],
    );
}

#[test]
fn some_of_the_indexes_may_be_enough() {
    let policy = "successPolicy: {rules: [{succeededIndexes: '0,2', succeededCount: 1}]}";
    let given = pod("a", "Succeeded", &format!("{TRACKED}, {}", of_index(2, "")), &exit(0, "09:30"))
        + &pod("b", "Running", &format!("{TRACKED}, {}", of_index(1, "")), "");
    check(
        &(job(&format!("{THREE}, {policy}"), &format!("active: 2, {STARTED}")) + &given),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":1,"completedIndexes":"2","conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Matched rules at index 0","reason":"SuccessPolicy","status":"True","type":"SuccessCriteriaMet"}],"succeeded":1}}
        patch pods a/a {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"a"}}
        delete pods a/b
          say Normal SuccessfulDelete on sum: Deleted pod: b
    "#]],
    );
}
