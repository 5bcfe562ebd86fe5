//! Tables of cases for the kinds whose rules need no file of their own.

use super::testing::{check_all as check, created, defaulted, row, update_errors, written};
use crate::autoscaling::v1::scale;
use crate::kind::{FieldFilter, Kind};
use crate::selector::FieldSelector;
use crate::stored::{self, StoredObject};
use crate::{apps, authentication, authorization, coordination, core, discovery, extensions, rbac};

const TEMPLATE: &str = "{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: 'web:1'}]}}";

fn workload(part: &str) -> String {
    format!("spec: {{selector: {{matchLabels: {{app: web}}}}, template: {TEMPLATE}, {part}}}")
}

#[test]
fn deployments_have_upstreams_defaults() {
    let deployment = defaulted(&apps::v1::deployment::KIND, &workload(""));
    for (path, want) in [("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)] {
        assert_eq!(deployment.body.i64_at(&format!("spec.{path}")), Some(want));
    }
    for (path, want) in [
        ("strategy.type", "RollingUpdate"),
        ("strategy.rollingUpdate.maxSurge", "25%"),
        ("strategy.rollingUpdate.maxUnavailable", "25%"),
        ("template.spec.restartPolicy", "Always"),
        ("template.spec.containers.0.imagePullPolicy", "IfNotPresent"),
    ] {
        assert_eq!(deployment.str_at(&format!("spec.{path}")), want);
    }
    let recreate = defaulted(&apps::v1::deployment::KIND, &workload("strategy: {type: Recreate}"));
    assert!(recreate.at("spec.strategy.rollingUpdate").is_none());
}

#[test]
fn mistakes_in_deployments_are_told_with_their_paths() {
    let deployment = &apps::v1::deployment::KIND;
    check(&[
        (deployment, &workload(""), &[]),
        (
            deployment,
            &workload("replicas: -1"),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            deployment,
            &format!("spec: {{selector: {{matchLabels: {{app: db}}}}, template: {TEMPLATE}}}"),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ],
        ),
        (deployment, &format!("spec: {{template: {TEMPLATE}}}"), &["spec.selector: Required value"]),
        (
            deployment,
            &workload("strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"),
            &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            deployment,
            &workload("progressDeadlineSeconds: 5, minReadySeconds: 5"),
            &["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            deployment,
            "spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}",
            &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
    ]);
}

#[test]
fn mistakes_in_the_core_kinds_are_told_with_their_paths() {
    check(&[
        (&core::v1::config_map::KIND, "data: {a: '1', a.b: ''}", &[]),
        (
            &core::v1::config_map::KIND,
            "{data: {a: '1'}, binaryData: {a: AA==}}",
            &["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"],
        ),
        (
            &core::v1::secret::KIND,
            "type: kubernetes.io/tls\nstringData: {tls.crt: x}",
            &["data[tls.key]: Required value"],
        ),
        (
            &core::v1::node::KIND,
            "spec: {taints: [{key: a, effect: Sometimes}]}",
            &[
                "spec.taints[0].effect: Unsupported value: \"Sometimes\": supported values: \"NoExecute\", \"NoSchedule\", \"PreferNoSchedule\"",
            ],
        ),
        (
            &core::v1::namespace::KIND,
            "spec: {finalizers: [odd]}",
            &[
                "spec.finalizers[0]: Invalid value: \"odd\": name is neither a standard finalizer name nor is it fully qualified",
            ],
        ),
    ]);
}

#[test]
fn mistakes_in_other_kinds_are_told_with_their_paths() {
    check(&[
        (
            &core::v1::event::KIND,
            "involvedObject: {namespace: other}",
            &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
        ),
        (
            &coordination::v1::lease::KIND,
            "spec: {leaseDurationSeconds: 0}",
            &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            &discovery::v1::endpoint_slice::KIND,
            "addressType: IPv4\nendpoints: [{addresses: ['::1']}]",
            &["endpoints[0].addresses[0]: Invalid value: \"::1\": must be an IPv4 address"],
        ),
        (
            &rbac::v1::role::KIND,
            "rules: [{apiGroups: ['']}]",
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            &rbac::v1::role::KIND,
            "rules: [{verbs: [get], nonResourceURLs: [/healthz]}]",
            &[
                "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs",
            ],
        ),
        (
            &rbac::v1::cluster_role_binding::KIND,
            "roleRef: {kind: Role, name: x}\nsubjects: [{kind: ServiceAccount, name: a}]",
            &[
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
            ],
        ),
        (
            &authorization::v1::self_subject_access_review::KIND,
            "spec: {}",
            &[
                "spec.resourceAttributes: Invalid value: \"\": exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ],
        ),
        (
            &authentication::v1::token_request::KIND,
            "spec: {audiences: [], expirationSeconds: 5}",
            &["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"],
        ),
    ]);
}

#[test]
fn what_never_changes() {
    let deployment = &apps::v1::deployment::KIND;
    let other = "spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: 'web:1'}]}}}";
    assert_eq!(
        update_errors(deployment, &workload(""), other),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: field is immutable"]
    );
    let secret = &core::v1::secret::KIND;
    assert_eq!(
        update_errors(secret, "{type: a, immutable: true, data: {a: QQ==}}", "{type: b, data: {a: Qg==}}"),
        [
            "type: Invalid value: \"b\": field is immutable",
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ]
    );
    let binding = &rbac::v1::role_binding::KIND;
    let bad = update_errors(binding, "roleRef: {kind: Role, name: a}", "roleRef: {kind: Role, name: b}");
    assert!(bad[0].starts_with("roleRef: Invalid value: {") && bad[0].ends_with(": cannot change roleRef"));
}

#[test]
fn rows_are_those_of_kubectl() {
    let time = "creationTimestamp: '2026-11-23T10:00:00Z'";
    let table: &[(&Kind, &str, &str)] = &[
        (
            &apps::v1::deployment::KIND,
            "spec: {replicas: 3, selector: {matchLabels: {app: web}}, template: {spec: {containers: [{name: c, image: i}, {name: d, image: j}]}}}\nstatus: {readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2}",
            "web | 2/3 | 1 | 2 | <unknown> | c,d | i,j | app=web",
        ),
        (
            &apps::v1::replica_set::KIND,
            "spec: {replicas: 3}\nstatus: {replicas: 2, readyReplicas: 1}",
            "web | 3 | 2 | 1 | <unknown> | <none> | <none> | <none>",
        ),
        (&core::v1::config_map::KIND, "{data: {a: '1'}, binaryData: {b: AA==}}", "web | 2 | <unknown>"),
        (&core::v1::namespace::KIND, "status: {phase: Active}", "web | Active | <unknown>"),
        (
            &core::v1::node::KIND,
            "metadata: {labels: {node-role.kubernetes.io/worker: '', node-role.kubernetes.io/control-plane: ''}}\nspec: {unschedulable: true}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.1}], conditions: [{type: Ready, status: 'True'}], nodeInfo: {kubeletVersion: v1}}",
            "web | Ready,SchedulingDisabled | control-plane,worker | <unknown> | v1 | 10.0.0.1 | <none> | <unknown> | <unknown> | <unknown>",
        ),
        (
            &core::v1::event::KIND,
            "{type: Normal, reason: Pulled, message: ' done ', count: 3, involvedObject: {kind: Pod, name: web, fieldPath: 'spec.containers{c}'}, source: {component: kubelet, host: n1}, firstTimestamp: '2026-11-23T11:00:00Z', lastTimestamp: '2026-11-23T11:59:30Z'}",
            "30s | Normal | Pulled | pod/web | spec.containers{c} | kubelet, n1 | done | 60m | 3 | web",
        ),
        (&coordination::v1::lease::KIND, "spec: {holderIdentity: n1}", "web | n1 | <unknown>"),
        (
            &discovery::v1::endpoint_slice::KIND,
            "{addressType: IPv4, ports: [{port: 6443}], endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2, 10.0.0.3]}, {addresses: [10.0.0.4]}]}",
            "web | IPv4 | 6443 | 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... | <unknown>",
        ),
        (
            &core::v1::endpoints::KIND,
            "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}, {port: 81}]}]",
            "web | 10.0.0.1:80,10.0.0.1:81 | <unknown>",
        ),
        (
            &rbac::v1::role_binding::KIND,
            "roleRef: {kind: ClusterRole, name: view}\nsubjects: [{kind: User, name: a}, {kind: ServiceAccount, name: b, namespace: c}, {kind: User, name: d}]",
            "web | ClusterRole/view | <unknown> | a, d |  | c/b",
        ),
    ];
    for (kind, yaml, want) in table {
        assert_eq!(row(kind, yaml), *want);
    }
    assert_eq!(row(&core::v1::service_account::KIND, &format!("metadata: {{{time}}}")), "web | 0 | 120m");
}

#[test]
fn plain_text_of_a_secret_is_folded_into_its_data() {
    let secret = defaulted(&core::v1::secret::KIND, "{data: {a: QQ==, b: QQ==}, stringData: {b: hello}}");
    assert_eq!(secret.str_at("type"), "Opaque");
    assert_eq!((secret.str_at("data.a"), secret.str_at("data.b")), ("QQ==", "aGVsbG8="));
    assert!(secret.at("stringData").is_none());
}

#[test]
fn a_namespace_is_held_until_it_is_finalized() {
    let kind = &core::v1::namespace::KIND;
    let namespace = created(kind, "metadata: {name: team}");
    assert_eq!(namespace.label(core::v1::namespace::NAME_LABEL), Some("team"));
    assert_eq!((namespace.str_at("status.phase"), namespace.str_at("spec.finalizers.0")), ("Active", "kubernetes"));
    assert!((kind.held)(&namespace));
    let mut emptied = namespace.clone();
    emptied.set("spec.finalizers", Vec::<&str>::new());
    assert!(!(kind.held)(&emptied));
    kind.prepare_for_update(&mut emptied, &namespace);
    assert!((kind.held)(&emptied), "an update does not finalize");
    (kind.on_delete)(&mut emptied);
    assert_eq!(emptied.str_at("status.phase"), "Terminating");
}

#[test]
fn annotations_of_a_deployment_count_as_its_specification() {
    let kind = &apps::v1::deployment::KIND;
    let old = created(kind, &workload(""));
    let mut new = old.clone();
    new.set_annotation("a", "b");
    kind.prepare_for_update(&mut new, &old);
    assert_eq!(new.generation(), 2);
}

#[test]
fn an_endpoint_slice_counts_its_changes() {
    let kind = &discovery::v1::endpoint_slice::KIND;
    let old = created(kind, "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]");
    let mut annotated = old.clone();
    annotated.set_annotation("a", "b");
    kind.prepare_for_update(&mut annotated, &old);
    assert_eq!(annotated.generation(), 1);
    let mut changed = old.clone();
    changed.set("endpoints.0.addresses", vec!["10.0.0.2"]);
    kind.prepare_for_update(&mut changed, &old);
    assert_eq!(changed.generation(), 2);
}

#[test]
fn a_scale_shows_and_sets_the_counts() {
    let kind = &apps::v1::deployment::KIND;
    let mut deployment = created(kind, &workload("replicas: 3"));
    deployment.set("status.replicas", 2_i64);
    let mut shown = scale::of(kind, &deployment).unwrap();
    assert_eq!(shown.body.i64_at("spec.replicas"), Some(3));
    assert_eq!((shown.body.i64_at("status.replicas"), shown.str_at("status.selector")), (Some(2), "app=web"));
    shown.set("spec.replicas", -1_i64);
    assert_eq!(scale::validate(&shown).len(), 1);
    shown.set("spec.replicas", 5_i64);
    scale::apply(kind, &mut deployment, &shown);
    assert_eq!(deployment.body.i64_at("spec.replicas"), Some(5));
    assert!(scale::of(&core::v1::pod::KIND, &deployment).is_none());
}

#[test]
fn fields_are_selected_from_the_header_alone() {
    let header = |kind: &Kind, yaml: &str| {
        let mut object = written(kind, yaml);
        StoredObject::parse(&stored::value(&mut object), 1, kind.field_paths).unwrap().header().clone()
    };
    let pod = &core::v1::pod::KIND;
    let running = header(pod, "spec: {nodeName: n1, containers: []}\nstatus: {phase: Running}");
    let event = &core::v1::event::KIND;
    let reported = header(event, "reportingComponent: scheduler");
    let sourced = header(event, "{reportingComponent: scheduler, source: {component: kubelet}}");
    let node = &core::v1::node::KIND;
    let closed = header(node, "spec: {unschedulable: true}");
    for (kind, header, selector, want) in [
        (pod, &running, "spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed", true),
        (pod, &running, "spec.nodeName!=n1", false),
        (pod, &running, "metadata.name=web,metadata.namespace=default", true),
        (pod, &running, "spec.hostNetwork=false", true),
        (event, &reported, "source=scheduler", true),
        (event, &sourced, "source=kubelet,reportingComponent=scheduler", true),
        (node, &closed, "spec.unschedulable=true", true),
    ] {
        let filter = FieldFilter::new(kind, &FieldSelector::parse(selector).unwrap()).unwrap();
        assert_eq!(filter.matches(header), want, "{selector}");
    }
    for (kind, label) in [(pod, "spec.foo"), (node, "metadata.namespace"), (&core::v1::config_map::KIND, "data")] {
        let error = FieldFilter::new(kind, &FieldSelector::parse(&format!("{label}=x")).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), format!("field label not supported: {label}"));
    }
}

#[test]
fn an_old_manifest_becomes_a_deployment() {
    let kind = &extensions::v1beta1::deployment::KIND;
    let old = defaulted(kind, &format!("spec: {{template: {TEMPLATE}}}"));
    assert_eq!(old.str_at("spec.selector.matchLabels.app"), "web");
    assert_eq!(old.label("app"), Some("web"));
    assert_eq!(old.body.i64_at("spec.strategy.rollingUpdate.maxSurge"), Some(1));
    assert!(kind.validate(&old).is_empty());
    assert_eq!(kind.storage().api_version(), "apps/v1");
}
