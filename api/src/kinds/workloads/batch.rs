//! Cases of `batch/v1`.

use super::super::testing::{check_all, created};
use super::{check_defaults, check_rows, status_errors};
use crate::batch::v1::{cron_job, job};
use crate::object::Object;

fn job_of(part: &str) -> String {
    format!(
        "metadata: {{uid: u}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}, {part}}}"
    )
}

#[test]
fn jobs_have_upstreams_defaults_and_rules() {
    let kind = &job::KIND;
    check_defaults(&[
        (kind, &job_of(""), "spec.completions", "1"),
        (kind, &job_of(""), "spec.parallelism", "1"),
        (kind, &job_of("parallelism: 3"), "spec.completions", "nothing"),
        (kind, &job_of(""), "spec.backoffLimit", "6"),
        (kind, &job_of(""), "spec.completionMode", "NonIndexed"),
        (kind, &job_of(""), "spec.suspend", "false"),
        (kind, &job_of(""), "spec.podReplacementPolicy", "TerminatingOrFailed"),
        (kind, &job_of("podFailurePolicy: {rules: []}"), "spec.podReplacementPolicy", "Failed"),
        (kind, &job_of("backoffLimitPerIndex: 1"), "spec.backoffLimit", "2147483647"),
    ]);
    check_all(&[
        (kind, &job_of(""), &[]),
        (
            kind,
            &job_of("completions: -1, completionMode: Indexed, parallelism: 200000"),
            &[
                "spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.parallelism: Invalid value: 200000: must be less than or equal to 100000 when completion mode is Indexed",
            ],
        ),
        (
            kind,
            "metadata: {uid: u}\nspec: {template: {spec: {containers: [{name: c, image: i}]}}}",
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            kind,
            &job_of(
                "podFailurePolicy: {rules: [{action: Ignore}, {action: FailJob, onExitCodes: {operator: In, values: [2, 0], containerName: x}}]}",
            ),
            &[
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
                "spec.podFailurePolicy.rules[1].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[1].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[1].onExitCodes.values: Invalid value: [2,0]: must be ordered",
            ],
        ),
        (
            kind,
            &job_of("completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededIndexes: '3,1'}, {}]}"),
            &[
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"3,1\": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1",
                "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            ],
        ),
    ]);
}

#[test]
fn jobs_know_their_pods_and_change_only_where_they_run() {
    let kind = &job::KIND;
    let created = created(kind, &job_of(""));
    for (path, key, want) in [
        ("spec.selector.matchLabels", "batch.kubernetes.io/controller-uid", "u"),
        ("spec.template.metadata.labels", "batch.kubernetes.io/job-name", "web"),
        ("spec.template.metadata.labels", "controller-uid", "u"),
        ("metadata.labels", "job-name", "web"),
    ] {
        assert_eq!(created.at(path).and_then(|map| map.get(key)).and_then(crate::Node::as_str), Some(want), "{key}");
    }
    for (change, value, want) in [
        ("spec.template.spec.nodeSelector.disk", "ssd", 1),
        ("spec.template.spec.serviceAccountName", "bot", 1),
        ("spec.completionMode", "Indexed", 2),
    ] {
        let mut new = created.clone();
        new.set(change, value);
        assert_eq!(kind.validate_update(&new, &created).len(), want.min(1), "{change}");
    }
    let mut suspended = created.clone();
    suspended.set("spec.suspend", true);
    let mut moved = suspended.clone();
    moved.set("spec.template.spec.nodeSelector.disk", "ssd");
    assert!(kind.validate_update(&moved, &suspended).is_empty(), "a job that waits may be moved");
}

#[test]
fn the_status_of_a_job_tells_a_consistent_story() {
    let kind = &job::KIND;
    let old = created(kind, &job_of(""));
    let complete = |kinds: &[&str], job: &mut Object| {
        for name in kinds {
            let mut condition = job.body.struct_at("status").new_item("conditions").unwrap();
            condition.set("type", *name);
            condition.set("status", "True");
            job.body.list_at("status.conditions").push(condition.into());
        }
    };
    let time = "2026-11-23T10:00:00Z";
    let good = status_errors(kind, &old, |job| {
        complete(&["SuccessCriteriaMet", "Complete"], job);
        job.set("status.startTime", time);
        job.set("status.completionTime", time);
        job.set("status.succeeded", 1_i64);
    });
    assert_eq!(good, Vec::<String>::new());
    let bad = status_errors(kind, &old, |job| {
        complete(&["Complete"], job);
        job.set("status.active", 1_i64);
        job.set("status.ready", 2_i64);
    });
    assert_eq!(
        bad,
        [
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
        ]
    );
    check_rows(&[
        (
            kind,
            &format!("{}\nstatus: {{succeeded: 2, startTime: '2026-11-23T11:59:00Z'}}", job_of("completions: 3")),
            "web | Running | 2/3 | 60s | <unknown> | c | i | <none>",
        ),
        (
            kind,
            "spec: {parallelism: 2}\nstatus: {conditions: [{type: Failed, status: 'True'}]}",
            "web | Failed | 0/1 of 2 |  | <unknown> | <none> | <none> | <none>",
        ),
    ]);
}

#[test]
fn cron_jobs_have_upstreams_defaults_and_rules() {
    let kind = &cron_job::KIND;
    let of = |part: &str| {
        format!(
            "spec: {{jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}}}, {part}}}"
        )
    };
    let hourly = of("schedule: '@hourly'");
    check_defaults(&[
        (kind, &hourly, "spec.concurrencyPolicy", "Allow"),
        (kind, &hourly, "spec.suspend", "false"),
        (kind, &hourly, "spec.successfulJobsHistoryLimit", "3"),
        (kind, &hourly, "spec.failedJobsHistoryLimit", "1"),
        (kind, &hourly, "spec.jobTemplate.spec.completions", "nothing"),
        (kind, &hourly, "spec.jobTemplate.spec.template.spec.dnsPolicy", "ClusterFirst"),
    ]);
    let long = "x".repeat(53);
    check_all(&[
        (kind, &of("schedule: '*/5 * * * *', timeZone: Europe/Berlin"), &[]),
        (kind, &of("schedule: '0 0 * * *', timeZone: Etc/UTC"), &[]),
        (
            kind,
            &of("schedule: 61 * * * *, timeZone: Mars/Olympus, concurrencyPolicy: Perhaps"),
            &[
                "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61",
                "spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus",
                "spec.concurrencyPolicy: Unsupported value: \"Perhaps\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ],
        ),
        (
            kind,
            &of("schedule: 'TZ=UTC 0 0 * * *', timeZone: Local"),
            &[
                "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
                "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            ],
        ),
        (
            kind,
            &format!("metadata: {{name: {long}}}\n{hourly}"),
            &[&format!("metadata.name: Invalid value: \"{long}\": must be no more than 52 characters")],
        ),
        (
            kind,
            &hourly.replace("{spec: {template:", "{spec: {manualSelector: true, template:"),
            &["spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""],
        ),
    ]);
    check_rows(&[(
        kind,
        &format!(
            "{}\nstatus: {{active: [{{name: a}}], lastScheduleTime: '2026-11-23T11:00:00Z'}}",
            of("schedule: '@hourly', suspend: true")
        ),
        "web | @hourly | <none> | True | 1 | 60m | <unknown> | c | i | <none>",
    )]);
}
