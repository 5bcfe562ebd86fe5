//! When pods are replaced.

use expect_test::expect;

use super::{STARTED, TRACKED, check, exit, job, pod};

const ONE: &str = "completions: 1, parallelism: 1, backoffLimit: 6";

#[test]
fn a_failed_pod_is_replaced_after_ten_seconds_then_twenty() {
    let first = pod("a", "Failed", "", &exit(1, "09:55"));
    check(
        &(job(ONE, &format!("failed: 1, {STARTED}")) + &first),
        expect![[r#"
        wake after 5s
    "#]],
    );
    let second = pod("b", "Failed", "", &exit(1, "09:57"));
    check(
        &(job(ONE, &format!("failed: 2, {STARTED}")) + &first + &second),
        expect![[r#"
        wake after 17s
    "#]],
    );
    let success = pod("c", "Succeeded", "", &exit(0, "09:58"));
    let spec = ONE.replace("completions: 1", "completions: 2");
    check(
        &(job(&spec, &format!("failed: 2, succeeded: 1, {STARTED}")) + &first + &second + &success),
        expect![[r#"
        create pods a/sum-4w4q7 labels={"app":"sum"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4w4q7
    "#]],
    );
}

#[test]
fn a_pod_on_its_way_out_is_replaced_at_once_or_when_it_ended() {
    let leaving = "deletionTimestamp: '2026-01-01T00:09:40Z', deletionGracePeriodSeconds: 30";
    let given = pod("a", "Running", &format!("{TRACKED}, {leaving}"), "");
    let status = STARTED.replace("terminating: 0", "terminating: 1");
    check(
        &(job(ONE, &status) + &given),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"uncountedTerminatedPods":{"failed":["a"]}}}
        patch pods a/a {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"a"}}
        create pods a/sum-4w4q7 labels={"app":"sum"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4w4q7
    "#]],
    );
    let patient = format!("{ONE}, podReplacementPolicy: Failed");
    check(
        &(job(&patient, &status) + &given),
        expect![[r#"
        nothing to do
    "#]],
    );
    // Nobody looks after its end: its node is gone.
    check(
        &(job(&patient, &status) + &given.replace("Seconds: 30", "Seconds: 0")),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"uncountedTerminatedPods":{"failed":["a"]}}}
        patch pods a/a {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"a"}}
    "#]],
    );
}

#[test]
fn restarts_in_place_count_as_failures() {
    let restarts = |count: u32| {
        let container = format!("name: c, restartCount: {count}, image: i, imageID: '', ready: false");
        pod("p", "Running", TRACKED, &format!("containerStatuses: [{{{container}}}]"))
    };
    let given = job(&ONE.replace("6", "2"), &format!("active: 1, {STARTED}")).replace("Never", "OnFailure");
    check(
        &(given.clone() + &restarts(1)),
        expect![[r#"
        nothing to do
    "#]],
    );
    check(
        &(given + &restarts(2)),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}]}}
        delete pods a/p
          say Normal SuccessfulDelete on sum: Deleted pod: p
    "#]],
    );
}
