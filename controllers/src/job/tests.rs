//! Pods in, the plan out. A pod is a line: its name, whether it is tracked, and its state.

use expect_test::{Expect, expect};

use super::CONTROLLER;
use crate::testing;

mod ending;
mod indexed;
mod limits;

const STARTED: &str = "startTime: '2026-01-01T00:09:00Z', ready: 0, terminating: 0, uncountedTerminatedPods: {}";

/// A Job of these fields and this status.
fn job(spec: &str, status: &str) -> String {
    let template = "template: {metadata: {labels: {app: sum}}, spec: {restartPolicy: Never, containers: [{name: c}]}}";
    let spec = format!("spec: {{selector: {{matchLabels: {{app: sum}}}}, {template}, {spec}}}");
    let metadata = "metadata: {name: sum, namespace: a, uid: j1, resourceVersion: '7'}";
    format!("{{apiVersion: batch/v1, kind: Job, {metadata}, {spec}, status: {{{status}}}}}")
}

const OWNER: &str = "ownerReferences: [{apiVersion: batch/v1, kind: Job, name: sum, uid: j1, controller: true}]";
const TRACKED: &str = "finalizers: [batch.kubernetes.io/job-tracking]";

/// A tracked pod of the Job in a phase, with more metadata and more status.
fn pod(name: &str, phase: &str, metadata: &str, status: &str) -> String {
    let created = "creationTimestamp: '2026-01-01T00:09:00Z'";
    let metadata =
        format!("name: {name}, namespace: a, uid: {name}, labels: {{app: sum}}, {created}, {OWNER}, {metadata}");
    format!("\n---\n{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, status: {{phase: {phase}, {status}}}}}")
}

/// How its only container ended, at a minute and second of the hour of the test.
fn exit(code: i32, at: &str) -> String {
    let terminated = format!("{{exitCode: {code}, finishedAt: '2026-01-01T00:{at}Z'}}");
    let container = "restartCount: 0, image: i, imageID: '', ready: false";
    format!("containerStatuses: [{{name: c, {container}, state: {{terminated: {terminated}}}}}]")
}

#[track_caller]
fn check(given: &str, expect: Expect) {
    testing::check(&CONTROLLER, "jobs a/sum", given, expect);
}

#[test]
fn a_new_job_starts_as_many_pods_as_may_run_at_a_time() {
    check(
        &job("completions: 3, parallelism: 2", ""),
        expect![[r#"
            patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"ready":0,"startTime":"2026-01-01T00:10:00Z","terminating":0,"uncountedTerminatedPods":{}}}
            create pods a/sum-4w4q7 labels={"app":"sum"}
              say Normal SuccessfulCreate on sum: Created pod: sum-4w4q7
            create pods a/sum-7d44x labels={"app":"sum"}
              say Normal SuccessfulCreate on sum: Created pod: sum-7d44x
        "#]],
    );
}

#[test]
fn a_job_whose_pods_run_writes_nothing() {
    let running = pod("p", "Running", TRACKED, "");
    check(
        &(job("completions: 1, parallelism: 1", &format!("active: 1, {STARTED}")) + &running),
        expect![[r#"
        nothing to do
    "#]],
    );
}

/// The end of a pod becomes a number in three steps, and each of them is found again after a crash.
#[test]
fn a_pod_is_counted_in_three_steps() {
    let spec = "completions: 2, parallelism: 2";
    let others = pod("running", "Running", TRACKED, "");
    let ended = pod("ended", "Succeeded", TRACKED, &exit(0, "09:30"));
    check(
        &(job(spec, &format!("active: 2, {STARTED}")) + &others + &ended),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":1,"uncountedTerminatedPods":{"succeeded":["ended"]}}}
        patch pods a/ended {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"ended"}}
    "#]],
    );
    let listed = "uncountedTerminatedPods: {succeeded: [ended]}";
    let status = format!("active: 1, {}", STARTED.replace("uncountedTerminatedPods: {}", listed));
    check(
        &(job(spec, &status) + &others + &ended),
        expect![[r#"
        patch pods a/ended {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"ended"}}
    "#]],
    );
    let free = ended.replace(TRACKED, "finalizers: []");
    check(
        &(job(spec, &status) + &others + &free),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"succeeded":1,"uncountedTerminatedPods":{"succeeded":null}}}
    "#]],
    );
    check(
        &(job(spec, &status) + &others),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"succeeded":1,"uncountedTerminatedPods":{"succeeded":null}}}
    "#]],
    );
    check(
        &(job(spec, &format!("active: 1, succeeded: 1, {STARTED}")) + &others + &free),
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn a_job_that_ended_or_is_anothers_is_left_alone() {
    check(
        &job("completions: 1, parallelism: 1, managedBy: example.com/own", ""),
        expect![[r#"
        nothing to do
    "#]],
    );
    let status = "conditions: [{type: Failed, status: 'True'}]";
    check(
        &(job("completions: 1, parallelism: 1", status) + &pod("p", "Running", TRACKED, "")),
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn pods_are_taken_in_and_let_go_with_their_finalizer() {
    let given = job("completions: 2, parallelism: 2, manualSelector: true", STARTED)
        + &pod("stranger", "Running", TRACKED, "").replace("labels: {app: sum}", "labels: {app: other}")
        + &pod("orphan", "Running", "", "").replace(OWNER, "ownerReferences: []");
    check(
        &given,
        expect![[r#"
        patch pods a/stranger {"metadata":{"finalizers":[],"ownerReferences":[],"resourceVersion":"10","uid":"stranger"}}
        patch pods a/orphan {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"j1"}],"resourceVersion":"10","uid":"orphan"}}
    "#]],
    );
}

#[test]
fn a_suspended_job_loses_its_pods_and_nobody_counts_them() {
    let spec = "completions: 1, parallelism: 1, suspend: true";
    check(
        &job(spec, ""),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}],"ready":0,"terminating":0,"uncountedTerminatedPods":{}}}
          say Normal Suspended on sum: Job suspended
    "#]],
    );
    let given = job(spec, &format!("active: 1, {STARTED}")) + &pod("p", "Running", TRACKED, "");
    check(
        &given,
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}],"startTime":null}}
          say Normal Suspended on sum: Job suspended
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
        delete pods a/p
          say Normal SuccessfulDelete on sum: Deleted pod: p
    "#]],
    );
    let condition = "conditions: [{type: Suspended, status: 'True', reason: JobSuspended, message: Job suspended}]";
    let status = format!("ready: 0, terminating: 0, uncountedTerminatedPods: {{}}, {condition}");
    check(
        &job(spec, &status),
        expect![[r#"
        nothing to do
    "#]],
    );
    check(
        &job("completions: 1, parallelism: 1, suspend: false", &status),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job resumed","reason":"JobResumed","status":"False","type":"Suspended"}],"startTime":"2026-01-01T00:10:00Z"}}
          say Normal Resumed on sum: Job resumed
        create pods a/sum-4w4q7 labels={"app":"sum"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4w4q7
    "#]],
    );
}

#[test]
fn more_pods_than_may_run_go_again() {
    let given = job("completions: 5, parallelism: 1", &format!("active: 2, {STARTED}"))
        + &pod("running", "Running", TRACKED, "").replace("status:", "spec: {nodeName: n1}, status:")
        + &pod("pending", "Pending", TRACKED, "");
    check(
        &given,
        expect![[r#"
        patch pods a/pending {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"pending"}}
        delete pods a/pending
          say Normal SuccessfulDelete on sum: Deleted pod: pending
    "#]],
    );
}

#[test]
fn a_job_on_its_way_out_lets_all_its_pods_go() {
    let given = job("completions: 5, parallelism: 1", &format!("active: 1, {STARTED}"))
        .replace("uid: j1,", "uid: j1, deletionTimestamp: '2026-01-01T00:10:00Z',")
        + &pod("p", "Running", TRACKED, "");
    check(
        &given,
        expect![[r#"
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
    "#]],
    );
}

#[test]
fn a_pod_whose_job_is_gone_is_let_go() {
    let check = |given: &str, expect| testing::check(&CONTROLLER, "pods a/p", given, expect);
    let tracked = pod("p", "Running", TRACKED, "");
    check(
        &tracked,
        expect![[r#"
        confirm jobs.batch a/sum j1 is gone
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
    "#]],
    );
    check(
        &(job("completions: 1", "") + &tracked),
        expect![[r#"
        nothing to do
    "#]],
    );
    let orphan = tracked
        .replace(OWNER, "ownerReferences: []")
        .replace("labels: {app: sum}", "labels: {batch.kubernetes.io/controller-uid: j1}");
    check(
        &orphan,
        expect![[r#"
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
    "#]],
    );
    check(
        &tracked.replace(TRACKED, "finalizers: []"),
        expect![[r#"
        nothing to do
    "#]],
    );
}
