//! How Jobs end.

use expect_test::expect;

use super::{STARTED, TRACKED, check, exit, job, pod};

const ONE: &str = "completions: 1, parallelism: 1, backoffLimit: 4";

#[test]
fn the_last_success_is_announced_then_counted_then_declared() {
    let ended = pod("p", "Succeeded", TRACKED, &exit(0, "09:30"));
    check(
        &(job(ONE, &format!("active: 1, {STARTED}")) + &ended),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null,"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"}],"uncountedTerminatedPods":{"succeeded":["p"]}}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
    "#]],
    );
    let announced = STARTED.replace("{}", "{succeeded: [p]}")
        + ", conditions: [{type: SuccessCriteriaMet, status: 'True', reason: CompletionsReached, message: Reached expected number of succeeded pods}]";
    let free = ended.replace(TRACKED, "finalizers: []");
    check(
        &(job(ONE, &announced) + &free),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"completionTime":"2026-01-01T00:10:00Z","conditions":[{"message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"Complete"}],"succeeded":1,"uncountedTerminatedPods":{"succeeded":null}}}
          say Normal Completed on sum: Job completed
    "#]],
    );
}

#[test]
fn without_a_number_of_completions_one_success_is_enough_when_all_have_ended() {
    let spec = "parallelism: 2";
    let given = pod("a", "Succeeded", TRACKED, &exit(0, "09:30"));
    check(
        &(job(spec, &format!("active: 2, {STARTED}")) + &given + &pod("b", "Running", TRACKED, "")),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":1,"uncountedTerminatedPods":{"succeeded":["a"]}}}
        patch pods a/a {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"a"}}
    "#]],
    );
    let free = given.replace(TRACKED, "");
    check(
        &(job(spec, &format!("succeeded: 1, {STARTED}")) + &free),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"completionTime":"2026-01-01T00:10:00Z","conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"Complete"}]}}
          say Normal Completed on sum: Job completed
    "#]],
    );
}

#[test]
fn one_failure_more_than_allowed_ends_the_job() {
    let spec = "completions: 2, parallelism: 2, backoffLimit: 0";
    let failed = pod("a", "Failed", TRACKED, &exit(1, "09:59"));
    let running = pod("b", "Running", TRACKED, "");
    check(
        &(job(spec, &format!("active: 2, {STARTED}")) + &failed + &running),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":1,"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}],"uncountedTerminatedPods":{"failed":["a"]}}}
        patch pods a/a {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"a"}}
        delete pods a/b
          say Normal SuccessfulDelete on sum: Deleted pod: b
    "#]],
    );
    let announced = STARTED.replace("{}", "{failed: [a]}")
        + ", conditions: [{type: FailureTarget, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]";
    let leaving = pod("b", "Running", &format!("{TRACKED}, deletionTimestamp: '2026-01-01T00:10:30Z'"), "");
    let failed = failed.replace(TRACKED, "");
    check(
        &(job(spec, &announced) + &failed + &leaving),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"failed":1,"terminating":1,"uncountedTerminatedPods":{"failed":["b"]}}}
        patch pods a/b {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"b"}}
    "#]],
    );
    let counted = announced.replace("{failed: [a]}", "{failed: [b]}").replace("terminating: 0", "terminating: 1");
    check(
        &(job(spec, &format!("failed: 1, {counted}")) + &failed),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"},{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"Failed"}],"failed":2,"terminating":0,"uncountedTerminatedPods":{"failed":null}}}
          say Warning BackoffLimitExceeded on sum: Job has reached the specified backoff limit
    "#]],
    );
}

#[test]
fn a_job_ends_at_its_deadline_and_wakes_for_it() {
    let spec = |seconds: u32| format!("{ONE}, activeDeadlineSeconds: {seconds}");
    let running = pod("p", "Running", TRACKED, "");
    check(
        &(job(&spec(100), &format!("active: 1, {STARTED}")) + &running),
        expect![[r#"
        wake after 40s
    "#]],
    );
    check(
        &(job(&spec(60), &format!("active: 1, {STARTED}")) + &running),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job was active longer than specified deadline","reason":"DeadlineExceeded","status":"True","type":"FailureTarget"}]}}
        delete pods a/p
          say Normal SuccessfulDelete on sum: Deleted pod: p
    "#]],
    );
}

#[test]
fn the_way_in_which_a_pod_failed_may_decide() {
    let policy = |action: &str| {
        let codes = "onExitCodes: {containerName: c, operator: In, values: [42]}";
        format!("{ONE}, podReplacementPolicy: Failed, podFailurePolicy: {{rules: [{{action: {action}, {codes}}}]}}")
    };
    let status = format!("active: 1, {STARTED}");
    let p = pod("p", "Failed", TRACKED, &exit(42, "09:55"));
    check(
        &(job(&policy("FailJob"), &status) + &p),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null,"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Container c for pod a/p failed with exit code 42 matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}],"uncountedTerminatedPods":{"failed":["p"]}}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
    "#]],
    );
    check(
        &(job(&policy("Ignore"), &status) + &p),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
        wake after 5s
    "#]],
    );
    check(
        &(job(&policy("Count"), &status) + &p),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null,"uncountedTerminatedPods":{"failed":["p"]}}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
        wake after 5s
    "#]],
    );
    check(
        &(job(&policy("FailJob"), &status) + &pod("p", "Failed", TRACKED, &exit(1, "09:55"))),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null,"uncountedTerminatedPods":{"failed":["p"]}}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
        wake after 5s
    "#]],
    );
    let disrupted = "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}";
    let condition = format!("{}, conditions: [{{type: DisruptionTarget, status: 'True'}}]", exit(137, "09:10"));
    let spec = format!("{ONE}, podReplacementPolicy: Failed, {disrupted}");
    check(
        &(job(&spec, &status) + &pod("p", "Failed", TRACKED, &condition)),
        expect![[r#"
        patch jobs.batch/status a/sum {"metadata":{"resourceVersion":"7"},"status":{"active":null}}
        patch pods a/p {"metadata":{"finalizers":[],"resourceVersion":"10","uid":"p"}}
        create pods a/sum-4w4q7 labels={"app":"sum"}
          say Normal SuccessfulCreate on sum: Created pod: sum-4w4q7
    "#]],
    );
}
