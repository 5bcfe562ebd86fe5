use super::KIND;
use crate::kinds::testing::{created, defaulted, errors, row, update_errors, written};

const SMALL: &str = "spec: {containers: [{name: c, image: 'web:1'}]}";

#[test]
fn defaults_are_those_of_kubernetes() {
    let pod = defaulted(
        &KIND,
        "
spec:
  hostNetwork: true
  serviceAccount: robot
  volumes: [{name: a}, {name: b, configMap: {name: x}}, {name: p, projected: {sources: [{serviceAccountToken: {path: t}}]}}]
  containers:
  - name: c
    image: web
    ports: [{containerPort: 80}]
    resources: {limits: {cpu: '0.5', memory: 1.5Gi}, requests: {cpu: 100m}}
    env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    livenessProbe: {httpGet: {port: 80}}
",
    );
    for (path, want) in [
        ("spec.restartPolicy", "Always"),
        ("spec.dnsPolicy", "ClusterFirst"),
        ("spec.schedulerName", "default-scheduler"),
        ("spec.serviceAccountName", "robot"),
        ("spec.containers.0.imagePullPolicy", "Always"),
        ("spec.containers.0.terminationMessagePath", "/dev/termination-log"),
        ("spec.containers.0.terminationMessagePolicy", "File"),
        ("spec.containers.0.ports.0.protocol", "TCP"),
        ("spec.containers.0.resources.limits.cpu", "500m"),
        ("spec.containers.0.resources.limits.memory", "1536Mi"),
        ("spec.containers.0.resources.requests.cpu", "100m"),
        ("spec.containers.0.resources.requests.memory", "1536Mi"),
        ("spec.containers.0.env.0.valueFrom.fieldRef.apiVersion", "v1"),
        ("spec.containers.0.livenessProbe.httpGet.path", "/"),
        ("spec.containers.0.livenessProbe.httpGet.scheme", "HTTP"),
    ] {
        assert_eq!(pod.str_at(path), want, "{path}");
    }
    for (path, want) in [
        ("spec.terminationGracePeriodSeconds", 30),
        ("spec.containers.0.ports.0.hostPort", 80),
        ("spec.containers.0.livenessProbe.periodSeconds", 10),
        ("spec.containers.0.livenessProbe.failureThreshold", 3),
        ("spec.volumes.1.configMap.defaultMode", 420),
        ("spec.volumes.2.projected.sources.0.serviceAccountToken.expirationSeconds", 3600),
    ] {
        assert_eq!(pod.body.i64_at(path), Some(want), "{path}");
    }
    assert_eq!(pod.body.bool_at("spec.enableServiceLinks"), Some(true));
    assert!(pod.at("spec.volumes.0.emptyDir").is_some() && pod.at("spec.securityContext").is_some());
}

#[test]
fn defaults_change_nothing_the_second_time() {
    let once = defaulted(&KIND, SMALL);
    let mut twice = once.clone();
    KIND.default(&mut twice);
    assert_eq!(once, twice);
}

#[test]
fn a_new_pod_is_pending_and_has_a_class() {
    for (resources, class) in [
        ("{}", "BestEffort"),
        ("{requests: {cpu: 1}}", "Burstable"),
        ("{limits: {cpu: 1, memory: 1Gi}}", "Guaranteed"),
        ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}", "Burstable"),
        ("{limits: {cpu: 1}}", "Burstable"),
    ] {
        let text = format!(
            "spec: {{containers: [{{name: c, image: 'web:1', resources: {resources}}}]}}\nstatus: {{phase: Running}}"
        );
        let pod = created(&KIND, &text);
        assert_eq!((pod.str_at("status.phase"), pod.str_at("status.qosClass")), ("Pending", class), "{resources}");
        assert_eq!(pod.generation(), 1);
    }
}

#[test]
fn mistakes_are_told_in_upstreams_words() {
    let bad = errors(
        &KIND,
        "
metadata: {name: Bad_Name, labels: {a: 'a b'}}
spec:
  restartPolicy: Foo
  containers: [{name: a}, {name: a, image: x}]
",
    );
    assert!(bad[0].starts_with("metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must"));
    assert!(bad[1].starts_with("metadata.labels: Invalid value: \"a b\": a valid label must be an empty string or"));
    assert_eq!(
        bad[2..],
        [
            "spec.containers[0].image: Required value",
            "spec.containers[1].name: Duplicate value: \"a\"",
            "spec.restartPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ]
    );
    assert_eq!(errors(&KIND, SMALL), [""; 0]);
}

#[test]
fn every_part_of_a_container_is_checked() {
    for (container, want) in [
        ("ports: [{containerPort: 0}]", "ports[0].containerPort: Required value"),
        (
            "ports: [{containerPort: 70000}]",
            "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        ("ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]", "ports[1].name: Duplicate value: \"a\""),
        (
            "ports: [{containerPort: 1, protocol: HTTP}]",
            "ports[0].protocol: Unsupported value: \"HTTP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        ("env: [{value: x}]", "env[0].name: Required value"),
        (
            "env: [{name: A, valueFrom: {}}]",
            "env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        (
            "env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]",
            "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        ("env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]", "env[0].valueFrom.secretKeyRef.key: Required value"),
        ("volumeMounts: [{name: v, mountPath: /x}]", "volumeMounts[0].name: Not found: \"v\""),
        (
            "volumeMounts: [{name: data, mountPath: /x, subPath: ../y}]",
            "volumeMounts[0].subPath: Invalid value: \"../y\": must not contain '..'",
        ),
        (
            "resources: {requests: {cpu: 2}, limits: {cpu: 1}}",
            "resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            "resources: {requests: {cpu: -1}}",
            "resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            "resources: {requests: {gpu: 1}}",
            "resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
        ),
        (
            "imagePullPolicy: Later",
            "imagePullPolicy: Unsupported value: \"Later\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        ("livenessProbe: {periodSeconds: 1}", "livenessProbe: Required value: must specify a handler type"),
        (
            "livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}",
            "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            "livenessProbe: {exec: {command: [a]}, successThreshold: 2}",
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
            "securityContext.allowPrivilegeEscalation: Invalid value: false: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
    ] {
        let text =
            format!("spec: {{volumes: [{{name: data}}], containers: [{{name: c, image: 'web:1', {container}}}]}}");
        assert_eq!(errors(&KIND, &text), [format!("spec.containers[0].{want}")], "{container}");
    }
}

#[test]
fn everything_else_in_a_pod_is_checked() {
    for (part, want) in [
        ("volumes: [{name: a}, {name: a}]", "spec.volumes[1].name: Duplicate value: \"a\""),
        (
            "volumes: [{name: a, emptyDir: {}, secret: {secretName: s}}]",
            "spec.volumes[0].secret: Forbidden: may not specify more than one volume type",
        ),
        ("volumes: [{name: a, secret: {}}]", "spec.volumes[0].secret.secretName: Required value"),
        (
            "volumes: [{name: a, configMap: {name: x, defaultMode: 1000}}]",
            "spec.volumes[0].configMap.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (
            "tolerations: [{operator: Exists, effect: NoSchedule, tolerationSeconds: 3}]",
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        (
            "dnsPolicy: None",
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
        ),
        (
            "activeDeadlineSeconds: 0",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]",
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            "initContainers: [{name: i, image: x, readinessProbe: {exec: {command: [a]}}}]",
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
    ] {
        let text = format!("spec: {{containers: [{{name: c, image: 'web:1'}}], {part}}}");
        assert_eq!(errors(&KIND, &text), [want], "{part}");
    }
}

#[test]
fn little_of_a_pod_may_change() {
    let pod = |part: &str| format!("spec: {{containers: [{{name: c, image: 'web:1'}}], {part}}}");
    assert_eq!(
        update_errors(&KIND, SMALL, "spec: {containers: [{name: c, image: 'web:2', imagePullPolicy: IfNotPresent}]}"),
        [""; 0]
    );
    let added = pod("tolerations: [{key: a, operator: Exists}]");
    assert_eq!(update_errors(&KIND, SMALL, &added), [""; 0]);
    assert_eq!(
        update_errors(&KIND, &added, SMALL),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
    assert_eq!(update_errors(&KIND, SMALL, &pod("activeDeadlineSeconds: 5")), [""; 0]);
    let moved = update_errors(&KIND, SMALL, &pod("nodeName: n1"));
    assert!(
        moved[0]
            .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`")
    );
    assert!(moved[0].ends_with("\nchanged: spec.nodeName"));
    let two = "spec: {containers: [{name: c, image: 'web:1'}, {name: d, image: x}]}";
    assert_eq!(
        update_errors(&KIND, SMALL, two),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
}

#[test]
fn the_generation_follows_the_specification_alone() {
    let old = created(&KIND, SMALL);
    let mut labelled = old.clone();
    labelled.set("metadata.labels", crate::Map::from_iter([("a", "b")]));
    KIND.prepare_for_update(&mut labelled, &old);
    assert_eq!(labelled.generation(), 1);
    let mut changed = old.clone();
    changed.set("spec.containers.0.image", "web:2");
    changed.set("status.phase", "Running");
    KIND.prepare_for_update(&mut changed, &old);
    assert_eq!((changed.generation(), changed.str_at("status.phase")), (2, "Pending"));
    let mut status = old.clone();
    status.set("spec.nodeName", "elsewhere");
    status.set("status.podIP", "10.0.0.1");
    KIND.prepare_for_status_update(&mut status, &old);
    assert_eq!((status.str_at("spec.nodeName"), status.str_at("status.podIPs.0.ip")), ("", "10.0.0.1"));
}

#[test]
fn only_a_running_pod_gets_time_to_end() {
    let pod = |node: &str, phase: &str| {
        let text = format!(
            "spec: {{nodeName: '{node}', containers: [{{name: c, image: x}}], terminationGracePeriodSeconds: 30}}\nstatus: {{phase: {phase}}}"
        );
        written(&KIND, &text)
    };
    for (node, phase, requested, want) in [
        ("n1", "Running", None, 30),
        ("n1", "Running", Some(5), 5),
        ("n1", "Running", Some(0), 0),
        ("n1", "Running", Some(-1), 1),
        ("", "Pending", None, 0),
        ("n1", "Succeeded", None, 0),
    ] {
        assert_eq!(KIND.grace_seconds(&pod(node, phase), requested), want, "{node} {phase} {requested:?}");
    }
}

#[test]
fn rows_say_what_matters_most() {
    let base = "metadata: {name: web, creationTimestamp: '2026-11-23T11:55:00Z'}\n";
    let running = "{name: c, ready: true, restartCount: 0, state: {running: {}}}";
    for (spec, status, want) in [
        (
            "containers: [{name: c}]",
            "phase: Pending",
            "web | 0/1 | Pending | 0 | 5m | <none> | <none> | <none> | <none>",
        ),
        (
            "nodeName: n1, containers: [{name: c}, {name: d}]",
            &format!(
                "phase: Running, podIPs: [{{ip: 10.0.0.1}}], containerStatuses: [{running}, {{name: d, restartCount: 3, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{finishedAt: '2026-11-23T11:59:55Z'}}}}}}]"
            ),
            "web | 1/2 | CrashLoopBackOff | 3 (5s ago) | 5m | 10.0.0.1 | n1 | <none> | <none>",
        ),
        (
            "initContainers: [{name: i}, {name: j}], containers: [{name: c}]",
            "phase: Pending, initContainerStatuses: [{name: i, restartCount: 0, state: {terminated: {exitCode: 0}}}, {name: j, restartCount: 2, state: {waiting: {reason: PodInitializing}}}]",
            "web | 0/1 | Init:1/2 | 2 | 5m | <none> | <none> | <none> | <none>",
        ),
        (
            "initContainers: [{name: i}], containers: [{name: c}]",
            "phase: Pending, initContainerStatuses: [{name: i, restartCount: 0, state: {terminated: {exitCode: 7}}}]",
            "web | 0/1 | Init:ExitCode:7 | 0 | 5m | <none> | <none> | <none> | <none>",
        ),
        (
            "initContainers: [{name: s, restartPolicy: Always}], containers: [{name: c}]",
            &format!(
                "phase: Running, initContainerStatuses: [{{name: s, ready: true, started: true, restartCount: 0, state: {{running: {{}}}}}}], containerStatuses: [{running}]"
            ),
            "web | 2/2 | Running | 0 | 5m | <none> | <none> | <none> | <none>",
        ),
        (
            "containers: [{name: c}], readinessGates: [{conditionType: a}, {conditionType: b}]",
            "phase: Failed, reason: Evicted, conditions: [{type: a, status: 'True'}]",
            "web | 0/1 | Evicted | 0 | 5m | <none> | <none> | <none> | 1/2",
        ),
        (
            "containers: [{name: c}]",
            "phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]",
            "web | 0/1 | SchedulingGated | 0 | 5m | <none> | <none> | <none> | <none>",
        ),
        (
            "containers: [{name: c}]",
            "phase: Failed, containerStatuses: [{name: c, restartCount: 0, state: {terminated: {exitCode: 137, signal: 9}}}]",
            "web | 0/1 | Signal:9 | 0 | 5m | <none> | <none> | <none> | <none>",
        ),
    ] {
        assert_eq!(row(&KIND, &format!("{base}spec: {{{spec}}}\nstatus: {{{status}}}")), want);
    }
    let deleting = "metadata: {name: web, deletionTimestamp: '2026-11-23T11:55:00Z'}\nspec: {containers: [{name: c}]}\nstatus: {phase: Running}";
    assert!(row(&KIND, deleting).starts_with("web | 0/1 | Terminating | 0 | <unknown>"));
}

#[test]
fn finished_pods_are_marked_in_the_table() {
    let pod = written(&KIND, "spec: {containers: [{name: c}]}\nstatus: {phase: Succeeded}");
    let row = KIND.table_row(&pod, crate::kinds::testing::now());
    assert_eq!(row.conditions[0].reason, "Succeeded");
}
