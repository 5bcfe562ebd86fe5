//! Cases of `core/v1`.

use super::super::testing::{check_all, created};
use super::{TEMPLATE, check_changes, check_defaults, check_rows, status_errors};
use crate::core::v1::{
    component_status, limit_range, persistent_volume, persistent_volume_claim, pod_template, replication_controller,
    resource_quota,
};

#[test]
fn limits_have_upstreams_defaults_and_rules() {
    let limits = &limit_range::KIND;
    let container =
        "spec: {limits: [{type: Container, max: {cpu: 2}, min: {cpu: 100m, memory: 1Mi}, default: {memory: 64Mi}}]}";
    check_defaults(&[
        (limits, container, "spec.limits.0.default.cpu", "2"),
        (limits, container, "spec.limits.0.defaultRequest.cpu", "2"),
        (limits, container, "spec.limits.0.defaultRequest.memory", "64Mi"),
        (limits, "spec: {limits: [{type: Pod, max: {cpu: 2}}]}", "spec.limits.0.default", "nothing"),
    ]);
    check_all(&[
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
    ]);
    check_rows(&[(limits, container, "web | ")]);
}

#[test]
fn quotas_have_upstreams_rules() {
    let quota = &resource_quota::KIND;
    check_all(&[
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
    check_rows(&[(
        quota,
        "status: {hard: {pods: 10, limits.cpu: 4, cpu: 2}, used: {pods: 3, cpu: 500m}}",
        "web | <unknown> | cpu: 500m/2, pods: 3/10 | limits.cpu: 0/4",
    )]);
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
    check_all(&[
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
    check_all(&[
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
    check_all(&[
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
