//! Cases of `apps` in all its versions, and of `extensions`.

use super::super::testing::{check_all, created};
use super::{TEMPLATE, check_changes, check_defaults, check_rows, status_errors};
use crate::apps::v1::{controller_revision, daemon_set, stateful_set};

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
    check_all(&[
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
    check_all(&[
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
    check_all(&[
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

#[test]
fn old_manifests_keep_their_old_defaults() {
    use crate::apps::{v1beta1, v1beta2};
    use crate::extensions::v1beta1 as extensions;
    let old = format!("spec: {{template: {TEMPLATE}}}");
    check_defaults(&[
        (&extensions::deployment::KIND, &old, "spec.progressDeadlineSeconds", "2147483647"),
        (&extensions::deployment::KIND, &old, "spec.strategy.rollingUpdate.maxSurge", "1"),
        (&extensions::daemon_set::KIND, &old, "spec.updateStrategy.type", "OnDelete"),
        (&extensions::daemon_set::KIND, &old, "spec.selector.matchLabels.app", "web"),
        (&extensions::replica_set::KIND, &old, "spec.selector.matchLabels.app", "web"),
        (&v1beta1::deployment::KIND, &old, "spec.revisionHistoryLimit", "2"),
        (&v1beta1::deployment::KIND, &old, "spec.progressDeadlineSeconds", "600"),
        (&v1beta1::deployment::KIND, &old, "metadata.labels.app", "web"),
        (&v1beta1::stateful_set::KIND, &old, "spec.updateStrategy.type", "OnDelete"),
        (&v1beta1::stateful_set::KIND, &old, "spec.revisionHistoryLimit", "10"),
        (&v1beta2::deployment::KIND, &old, "spec.selector", "nothing"),
        (&v1beta2::daemon_set::KIND, &old, "spec.updateStrategy.type", "RollingUpdate"),
        (&v1beta2::replica_set::KIND, &old, "spec.replicas", "1"),
        (&v1beta2::stateful_set::KIND, &old, "spec.updateStrategy.rollingUpdate.partition", "0"),
        (&crate::batch::v1beta1::cron_job::KIND, "spec: {schedule: '@hourly'}", "spec.failedJobsHistoryLimit", "1"),
    ]);
    for kind in crate::kind::KINDS.iter().filter(|kind| kind.version.contains("beta") && kind.stored_as.is_some()) {
        assert!(
            kind.deprecation.starts_with(&format!("{} {} is deprecated", kind.api_version(), kind.kind)),
            "{kind:?}"
        );
        assert_eq!((kind.short_names, kind.categories), (&[][..], &[][..]), "{kind:?}: commands mean the present kind");
        assert_eq!((kind.storage().kind, kind.storage().version), (kind.kind, "v1"));
    }
}
