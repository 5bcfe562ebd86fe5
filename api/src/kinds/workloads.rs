//! Tables of cases for the kinds around workloads: what they mean, refuse, keep and show.

use super::testing::{created, defaulted, errors, row, update_errors};
use crate::apps::v1::{controller_revision, daemon_set, stateful_set};
use crate::autoscaling::v2::horizontal_pod_autoscaler;
use crate::batch::v1::{cron_job, job};
use crate::core::v1::{
    component_status, limit_range, persistent_volume, persistent_volume_claim, pod_template, replication_controller,
    resource_quota,
};
use crate::kind::Kind;
use crate::object::Object;
use crate::policy::v1::pod_disruption_budget;

const TEMPLATE: &str = "{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: 'web:1'}]}}";

/// Each row: a kind, an object, a path, the text or number that is there after the defaults.
type Default<'a> = (&'a Kind, &'a str, &'a str, &'a str);

fn check_defaults(table: &[Default<'_>]) {
    for (kind, yaml, path, want) in table {
        let object = defaulted(kind, yaml);
        let found = match object.at(path) {
            Some(node) => crate::meta::shown(Some(node)).to_string().trim_matches('"').to_owned(),
            None => "nothing".to_owned(),
        };
        assert_eq!(found, *want, "{kind:?} {path}\n{yaml}");
    }
}

/// Each row: a kind, an object, what is wrong with it.
type Mistake<'a> = (&'a Kind, &'a str, &'a [&'a str]);

fn check_mistakes(table: &[Mistake<'_>]) {
    for (kind, yaml, want) in table {
        assert_eq!(errors(kind, yaml), *want, "{kind:?}\n{yaml}");
    }
}

/// Each row: a kind, an object, what it becomes, what is wrong with that.
type Change<'a> = (&'a Kind, &'a str, &'a str, &'a [&'a str]);

fn check_changes(table: &[Change<'_>]) {
    for (kind, old, new, want) in table {
        assert_eq!(update_errors(kind, old, new), *want, "{kind:?}\n{old}\n->\n{new}");
    }
}

/// Each row: a kind, an object, its row.
type Shown<'a> = (&'a Kind, &'a str, &'a str);

fn check_rows(table: &[Shown<'_>]) {
    for (kind, yaml, want) in table {
        assert_eq!(row(kind, yaml), *want, "{kind:?}\n{yaml}");
    }
}

/// What is wrong with a status that is written.
fn status_errors(kind: &Kind, old: &Object, change: impl Fn(&mut Object)) -> Vec<String> {
    let mut new = old.clone();
    change(&mut new);
    kind.prepare_for_status_update(&mut new, old);
    kind.validate_status_update(&new, old).iter().map(ToString::to_string).collect()
}

#[test]
fn limits_and_quotas_have_upstreams_defaults_and_rules() {
    let (limits, quota) = (&limit_range::KIND, &resource_quota::KIND);
    let container =
        "spec: {limits: [{type: Container, max: {cpu: 2}, min: {cpu: 100m, memory: 1Mi}, default: {memory: 64Mi}}]}";
    check_defaults(&[
        (limits, container, "spec.limits.0.default.cpu", "2"),
        (limits, container, "spec.limits.0.defaultRequest.cpu", "2"),
        (limits, container, "spec.limits.0.defaultRequest.memory", "64Mi"),
        (limits, "spec: {limits: [{type: Pod, max: {cpu: 2}}]}", "spec.limits.0.default", "nothing"),
    ]);
    check_mistakes(&[
        (limits, container, &[]),
        (limits, "spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 2Gi}}]}", &[]),
        (
            limits,
            "spec: {limits: [{type: Pod, default: {cpu: 1}, max: {florins: 1}}, {type: Pod}, {type: Odd}]}",
            &[
                "spec.limits[0].max[florins]: Invalid value: \"florins\": must be a standard resource for containers",
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[1].type: Duplicate value: \"Pod\"",
                "spec.limits[2].type: Invalid value: \"Odd\": must be a standard limit type or fully qualified",
            ],
        ),
        (
            limits,
            "spec: {limits: [{type: Container, max: {cpu: 1}, min: {cpu: 2}, maxLimitRequestRatio: {cpu: 500m}}]}",
            &[
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
                "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
            ],
        ),
        (
            limits,
            "spec: {limits: [{type: PersistentVolumeClaim}]}",
            &[
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        ),
        (quota, "spec: {hard: {pods: 10, requests.cpu: 4, count/jobs.batch: 3, gpu.example.com/a: 1}}", &[]),
        (
            quota,
            "spec: {hard: {pods: 500m, storage: -1}, scopes: [BestEffort, NotBestEffort, Odd]}",
            &[
                "spec.hard[pods]: Invalid value: \"500m\": must be an integer",
                "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota",
                "spec.hard[storage]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: conflicting scopes",
            ],
        ),
        (
            quota,
            "spec: {hard: {cpu: 1}, scopes: [BestEffort]}",
            &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
        ),
        (
            quota,
            "spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}, {scopeName: PriorityClass, operator: Is}]}}",
            &[
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                "spec.scopeSelector.matchExpressions.operator: Invalid value: \"Is\": not a valid selector operator",
            ],
        ),
    ]);
    check_changes(&[(
        quota,
        "spec: {hard: {pods: 1}, scopes: [Terminating]}",
        "spec: {hard: {pods: 2}, scopes: [NotTerminating]}",
        &["spec.scopes: Invalid value: [\"NotTerminating\"]: field is immutable"],
    )]);
    let used = status_errors(quota, &created(quota, "spec: {hard: {pods: 1}}"), |quota| {
        quota.set("status.used.pods", "-1");
        quota.set("spec.hard.pods", "7");
    });
    assert_eq!(used, ["status.used[pods]: Invalid value: \"-1\": must be greater than or equal to 0"]);
    check_rows(&[
        (limits, container, "web | "),
        (
            quota,
            "status: {hard: {pods: 10, limits.cpu: 4, cpu: 2}, used: {pods: 3, cpu: 500m}}",
            "web | <unknown> | cpu: 500m/2, pods: 3/10 | limits.cpu: 0/4",
        ),
    ]);
}

#[test]
fn volumes_have_upstreams_defaults_and_rules() {
    let volume = &persistent_volume::KIND;
    let good = "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /data}}";
    check_defaults(&[
        (volume, good, "spec.persistentVolumeReclaimPolicy", "Retain"),
        (volume, good, "spec.volumeMode", "Filesystem"),
        (volume, good, "spec.hostPath.type", ""),
        (volume, good, "status.phase", "Pending"),
    ]);
    check_mistakes(&[
        (volume, good, &[]),
        (
            volume,
            "spec: {}",
            &[
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: {}: supported values: \"storage\"",
                "spec: Required value: must specify a volume type",
            ],
        ),
        (
            volume,
            "spec: {capacity: {storage: 0}, accessModes: [ReadWriteOnce, ReadWriteOncePod, Some], local: {path: /a}, nfs: {server: a, path: /b}, persistentVolumeReclaimPolicy: Burn}",
            &[
                "spec.accessModes: Unsupported value: \"Some\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
                "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
                "spec.local: Forbidden: may not specify more than 1 volume type",
            ],
        ),
        (
            volume,
            "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], local: {path: /a}}",
            &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
    ]);
    check_changes(&[
        (volume, good, &good.replace("1Gi", "2Gi"), &[]),
        (
            volume,
            good,
            &good.replace("/data", "/other"),
            &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
        ),
    ]);
    check_rows(&[(
        volume,
        "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: fast, volumeMode: Block, claimRef: {namespace: a, name: b}}\nstatus: {phase: Bound}",
        "web | 1Gi | RWO,RWX | Retain | Bound | a/b | fast | <unset> |  | <unknown> | Block",
    )]);
}

#[test]
fn claims_have_upstreams_defaults_and_rules() {
    let claim = &persistent_volume_claim::KIND;
    let good = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
    check_defaults(&[
        (claim, good, "spec.volumeMode", "Filesystem"),
        (claim, good, "status.phase", "Pending"),
        (claim, good, "spec.storageClassName", "nothing"),
    ]);
    check_mistakes(&[
        (claim, good, &[]),
        (
            claim,
            "spec: {volumeMode: Tape, dataSource: {kind: Pod, name: a}}",
            &[
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
                "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
                "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
                "spec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ],
        ),
        (
            claim,
            "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 0}}}",
            &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
        ),
    ]);
    const GUARD: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let bound = |size: &str| good.replace("1Gi", size).replace("spec: {", "spec: {volumeName: v, ");
    check_changes(&[
        (claim, good, &bound("1Gi"), &[]),
        (claim, good, &good.replace("spec: {", "spec: {storageClassName: fast, "), &[]),
        (claim, &bound("1Gi"), &bound("1Gi").replace("volumeName: v", "volumeName: w"), &[GUARD]),
        (claim, good, &good.replace("1Gi", "2Gi"), &[GUARD]),
    ]);
    let mut old = created(claim, &bound("2Gi"));
    old.set("status.phase", "Bound");
    old.set("status.capacity.storage", "1Gi");
    for (size, want) in [
        ("3Gi", vec![]),
        ("1536Mi", vec![]),
        ("1Gi", vec!["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]),
    ] {
        let mut new = old.clone();
        new.set("spec.resources.requests.storage", size);
        claim.prepare_for_update(&mut new, &old);
        let found: Vec<String> = claim.validate_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(found, want, "{size}");
    }
    let copied =
        created(claim, &good.replace("spec: {", "spec: {dataSource: {kind: PersistentVolumeClaim, name: a}, "));
    assert_eq!(copied.str_at("spec.dataSourceRef.name"), "a");
    check_rows(&[
        (claim, "status: {phase: Pending}", "web | Pending |  |  |  |  | <unset> | <unknown> | <unset>"),
        (
            claim,
            "metadata: {annotations: {volume.beta.kubernetes.io/storage-class: old}}\nspec: {volumeName: v}\nstatus: {phase: Bound, capacity: {storage: 2Gi}, accessModes: [ReadOnlyMany]}",
            "web | Bound | v | 2Gi | ROX | old | <unset> | <unknown> | <unset>",
        ),
    ]);
}

#[test]
fn replication_controllers_and_templates_have_upstreams_defaults_and_rules() {
    let (controller, template) = (&replication_controller::KIND, &pod_template::KIND);
    let good = format!("spec: {{template: {TEMPLATE}}}");
    check_defaults(&[
        (controller, &good, "spec.replicas", "1"),
        (controller, &good, "spec.selector.app", "web"),
        (controller, &good, "metadata.labels.app", "web"),
        (controller, &good, "spec.template.spec.restartPolicy", "Always"),
        (template, &format!("template: {TEMPLATE}"), "template.spec.dnsPolicy", "ClusterFirst"),
    ]);
    check_mistakes(&[
        (controller, &good, &[]),
        (controller, "spec: {}", &["spec.selector: Required value", "spec.template: Required value"]),
        (
            controller,
            &format!("spec: {{replicas: -1, selector: {{app: db}}, template: {TEMPLATE}}}"),
            &[
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            template,
            "template: {spec: {containers: [{image: x}]}}",
            &["template.spec.containers[0].name: Required value"],
        ),
    ]);
    let status = status_errors(controller, &created(controller, &good), |object| {
        object.set("status.readyReplicas", 1_i64);
        object.set("status.availableReplicas", 2_i64);
    });
    assert_eq!(
        status,
        [
            "status.readyReplicas: Invalid value: 1: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
        ]
    );
    check_rows(&[
        (
            controller,
            "spec: {replicas: 3, selector: {app: web}, template: {spec: {containers: [{name: c, image: i}]}}}\nstatus: {replicas: 2}",
            "web | 3 | 2 | 0 | <unknown> | c | i | app=web",
        ),
        (template, &format!("template: {TEMPLATE}"), "web | c | web:1 | app=web"),
        (
            &component_status::KIND,
            "conditions: [{type: Healthy, status: 'True', message: ok}]",
            "web | Healthy | ok | ",
        ),
    ]);
    let old = created(template, &format!("template: {TEMPLATE}"));
    let mut new = old.clone();
    new.set("template.metadata.labels.app", "db");
    template.prepare_for_update(&mut new, &old);
    assert_eq!(new.generation(), 2, "a template is the content of a PodTemplate");
}

#[test]
fn a_replication_controller_scales_by_its_plain_selector() {
    let kind = &replication_controller::KIND;
    let controller = created(kind, &format!("spec: {{template: {TEMPLATE}}}"));
    let scale = crate::autoscaling::v1::scale::of(kind, &controller).unwrap();
    assert_eq!((scale.body.i64_at("spec.replicas"), scale.str_at("status.selector")), (Some(1), "app=web"));
}

fn set(part: &str) -> String {
    format!("spec: {{selector: {{matchLabels: {{app: web}}}}, template: {TEMPLATE}, {part}}}")
}

#[test]
fn stateful_sets_have_upstreams_defaults_and_rules() {
    let kind = &stateful_set::KIND;
    let claims = set("volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]");
    check_defaults(&[
        (kind, &set(""), "spec.replicas", "1"),
        (kind, &set(""), "spec.podManagementPolicy", "OrderedReady"),
        (kind, &set(""), "spec.updateStrategy.type", "RollingUpdate"),
        (kind, &set(""), "spec.updateStrategy.rollingUpdate.partition", "0"),
        (kind, &set(""), "spec.revisionHistoryLimit", "10"),
        (kind, &set(""), "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain"),
        (kind, &set("updateStrategy: {type: OnDelete}"), "spec.updateStrategy.rollingUpdate", "nothing"),
        (kind, &claims, "spec.volumeClaimTemplates.0.status.phase", "Pending"),
        (kind, &claims, "spec.volumeClaimTemplates.0.spec.volumeMode", "Filesystem"),
    ]);
    check_mistakes(&[
        (kind, &set("serviceName: web"), &[]),
        (
            kind,
            &set("replicas: -1, podManagementPolicy: Random, updateStrategy: {type: Now}, serviceName: A"),
            &[
                "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
                "spec.updateStrategy: Invalid value: {\"type\":\"Now\"}: must be 'RollingUpdate' or 'OnDelete'",
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.serviceName: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            kind,
            "spec: {selector: {}, template: {spec: {restartPolicy: Never, activeDeadlineSeconds: 5, containers: []}}}",
            &[
                "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                "spec.template.spec.activeDeadlineSeconds: Invalid value: 5: must not be specified",
            ],
        ),
    ]);
    check_changes(&[
        (kind, &set("replicas: 1"), &set("replicas: 2, minReadySeconds: 3"), &[]),
        (
            kind,
            &set("serviceName: a"),
            &set("serviceName: b"),
            &[
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ],
        ),
    ]);
    let status = status_errors(kind, &created(kind, &set("")), |set| {
        set.set("status.replicas", 1_i64);
        set.set("status.currentReplicas", 2_i64);
        set.set("status.availableReplicas", 1_i64);
    });
    assert_eq!(
        status,
        [
            "status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
        ]
    );
    check_rows(&[(
        kind,
        &format!("{}\nstatus: {{readyReplicas: 1}}", set("replicas: 3")),
        "web | 1/3 | <unknown> | c | web:1",
    )]);
}

#[test]
fn daemon_sets_have_upstreams_defaults_and_rules() {
    let kind = &daemon_set::KIND;
    check_defaults(&[
        (kind, &set(""), "spec.updateStrategy.rollingUpdate.maxUnavailable", "1"),
        (kind, &set(""), "spec.updateStrategy.rollingUpdate.maxSurge", "0"),
        (kind, &set(""), "spec.revisionHistoryLimit", "10"),
    ]);
    check_mistakes(&[
        (kind, &set(""), &[]),
        (
            kind,
            &format!("spec: {{template: {TEMPLATE}}}"),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            kind,
            &set("updateStrategy: {rollingUpdate: {maxUnavailable: 200%, maxSurge: 1}}"),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"200%\": must not be greater than 100%",
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ],
        ),
        (
            kind,
            &set("updateStrategy: {rollingUpdate: {maxUnavailable: 0}}"),
            &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        ),
    ]);
    let old = created(kind, &set(""));
    assert_eq!(old.annotation(daemon_set::TEMPLATE_GENERATION), Some("1"));
    let mut new = old.clone();
    new.set("spec.minReadySeconds", 5_i64);
    kind.prepare_for_update(&mut new, &old);
    assert_eq!((new.annotation(daemon_set::TEMPLATE_GENERATION), new.generation()), (Some("1"), 2));
    new.set("spec.template.metadata.labels.tier", "front");
    kind.prepare_for_update(&mut new, &old);
    assert_eq!(new.annotation(daemon_set::TEMPLATE_GENERATION), Some("2"));
    check_rows(&[(
        kind,
        &format!("{}\nstatus: {{desiredNumberScheduled: 3, currentNumberScheduled: 2, numberReady: 1}}", set("")),
        "web | 3 | 2 | 1 | 0 | 0 | <none> | <unknown> | c | web:1 | app=web",
    )]);
}

#[test]
fn controller_revisions_keep_their_data() {
    let kind = &controller_revision::KIND;
    check_mistakes(&[
        (kind, "{data: {a: 1}, revision: 1}", &[]),
        (
            kind,
            "revision: -1",
            &[
                "data: Required value: data is mandatory",
                "revision: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
    ]);
    check_changes(&[(
        kind,
        "{data: {a: 1}, revision: 1}",
        "{data: {a: 2}, revision: 2}",
        &["data: Invalid value: {\"a\":2}: field is immutable"],
    )]);
    check_rows(&[(
        kind,
        "{metadata: {ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]}, data: {}, revision: 3}",
        "web | statefulset.apps/web | 3 | <unknown>",
    )]);
}

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
    check_mistakes(&[
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
    let created = created(kind, &job_of(""));
    for (path, key, want) in [
        ("spec.selector.matchLabels", "batch.kubernetes.io/controller-uid", "u"),
        ("spec.template.metadata.labels", "batch.kubernetes.io/job-name", "web"),
        ("spec.template.metadata.labels", "controller-uid", "u"),
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
    check_mistakes(&[
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

#[test]
fn disruption_budgets_have_upstreams_rules() {
    let kind = &pod_disruption_budget::KIND;
    check_mistakes(&[
        (kind, "spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}", &[]),
        (
            kind,
            "spec: {minAvailable: 1, maxUnavailable: 101%, unhealthyPodEvictionPolicy: Never}",
            &[
                "spec: Invalid value: {\"minAvailable\":1,\"maxUnavailable\":\"101%\",\"unhealthyPodEvictionPolicy\":\"Never\"}: minAvailable and maxUnavailable cannot be both set",
                "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ],
        ),
    ]);
    let status = status_errors(kind, &created(kind, "spec: {minAvailable: 1}"), |budget| {
        budget.set("status.disruptionsAllowed", -1_i64);
    });
    assert_eq!(status, ["status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"]);
    check_rows(&[(
        kind,
        "spec: {maxUnavailable: 25%}\nstatus: {disruptionsAllowed: 2}",
        "web | N/A | 25% | 2 | <unknown>",
    )]);
}

fn autoscaler(part: &str) -> String {
    format!("spec: {{maxReplicas: 5, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}, {part}}}")
}

#[test]
fn autoscalers_have_upstreams_defaults_and_rules() {
    let kind = &horizontal_pod_autoscaler::KIND;
    let fast = autoscaler("behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}");
    check_defaults(&[
        (kind, &autoscaler(""), "spec.minReplicas", "1"),
        (kind, &autoscaler(""), "spec.metrics.0.resource.name", "cpu"),
        (kind, &autoscaler(""), "spec.metrics.0.resource.target.averageUtilization", "80"),
        (kind, &autoscaler(""), "spec.behavior", "nothing"),
        (kind, &fast, "spec.behavior.scaleUp.stabilizationWindowSeconds", "0"),
        (kind, &fast, "spec.behavior.scaleUp.policies.0.type", "Pods"),
        (kind, &fast, "spec.behavior.scaleUp.policies.1", "nothing"),
        (kind, &fast, "spec.behavior.scaleDown.policies.0.value", "100"),
        (kind, &fast, "spec.behavior.scaleDown.stabilizationWindowSeconds", "nothing"),
    ]);
    check_mistakes(&[
        (kind, &fast, &[]),
        (
            kind,
            "spec: {minReplicas: 0, scaleTargetRef: {name: a/b}}",
            &[
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        (
            kind,
            &autoscaler(
                "metrics: [{type: Pods, pods: {metric: {name: m}, target: {type: Value, value: 0}}}, {type: Resource, object: {metric: {name: m}, describedObject: {kind: Pod, name: a}, target: {type: Value, value: 1}}}, {type: Odd}]",
            ),
            &[
                "spec.metrics[0].pods.target.value: Invalid value: \"0\": must be positive",
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
                "spec.metrics[1].resource: Required value: must populate information for the given metric source",
                "spec.metrics[2].type: Unsupported value: \"Odd\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
            ],
        ),
        (
            kind,
            &autoscaler(
                "behavior: {scaleDown: {stabilizationWindowSeconds: 7200, selectPolicy: Some, policies: [{type: All, value: 0, periodSeconds: 3600}]}}",
            ),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 7200: must be less than or equal to 3600",
                "spec.behavior.scaleDown.selectPolicy: Unsupported value: \"Some\": supported values: \"Disabled\", \"Max\", \"Min\"",
                "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"All\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 3600: must be less than or equal to 1800",
            ],
        ),
    ]);
    check_rows(&[
        (
            kind,
            &format!(
                "{}\nstatus: {{currentReplicas: 2, currentMetrics: [{{type: Resource, resource: {{name: cpu, current: {{averageUtilization: 10}}}}}}]}}",
                autoscaler(
                    "minReplicas: 2, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}, {type: Pods, pods: {target: {averageValue: 5}}}, {type: External, external: {target: {value: 1}}}]"
                )
            ),
            "web | Deployment/web | cpu: 10%/50%, <unknown>/5 + 1 more... | 2 | 5 | 2 | <unknown>",
        ),
        (kind, "spec: {maxReplicas: 1}", "web | / | <none> | <unset> | 1 | 0 | <unknown>"),
    ]);
}
