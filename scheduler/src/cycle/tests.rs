use expect_test::expect;

use crate::testing::check;

fn node(name: &str, more: &str) -> String {
    let status = "status: {allocatable: {cpu: '2', memory: 4Gi, pods: '10'}}";
    let labels = format!("labels: {{kubernetes.io/hostname: {name}}}");
    format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}, {labels}}}, {status}{more}}}\n---\n")
}

fn pod(name: &str, spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}}}, spec: {{{spec}}}}}\n---\n")
}

fn cpu(amount: &str) -> String {
    format!("containers: [{{name: c, resources: {{requests: {{cpu: {amount}}}}}}}]")
}

#[test]
fn without_nodes_there_is_nothing_to_choose() {
    check(
        &pod("p", ""),
        expect![[r#"
        p: no nodes available to schedule pods
    "#]],
    );
}

#[test]
fn pods_fill_nodes_until_nothing_fits() {
    let pods: String = (0..5).map(|n| pod(&format!("p{n}"), &cpu("900m"))).collect();
    check(
        &(node("a", "") + &node("b", "") + &pods),
        expect![[r#"
        p0 -> a of 2
        p1 -> b of 2
        p2 -> a of 2
        p3 -> b of 1
        p4: 0/2 nodes are available: 2 Insufficient cpu.
    "#]],
    );
}

#[test]
fn every_node_says_why_it_is_refused() {
    let nodes = node("cordoned", ", spec: {unschedulable: true}")
        + &node("tainted", ", spec: {taints: [{key: example.com/x, value: 'y', effect: NoSchedule}]}")
        + &node("full", "")
        + &node("fuller", "")
        + &pod("q", &format!("nodeName: full, {}", cpu("1500m")))
        + &pod("r", &format!("nodeName: fuller, {}", cpu("1500m")));
    check(
        &(nodes.clone() + &pod("p", &cpu("1"))),
        expect![[r#"
        p: 0/4 nodes are available: 1 node(s) had untolerated taint {example.com/x: y}, 1 node(s) were unschedulable, 2 Insufficient cpu.
    "#]],
    );
    let tolerant = format!("tolerations: [{{key: example.com/x, operator: Exists}}], {}", cpu("1"));
    check(
        &(nodes + &pod("p", &tolerant)),
        expect![[r#"
        p -> tainted of 1
    "#]],
    );
}

#[test]
fn selectors_and_affinity_are_obeyed() {
    let zone = |name: &str, zone: &str| {
        let labels = format!("labels: {{topology.kubernetes.io/zone: {zone}}}");
        let status = "status: {allocatable: {cpu: '2', memory: 4Gi, pods: '10'}}";
        format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}, {labels}}}, {status}}}\n---\n")
    };
    let nodes = zone("a", "east") + &zone("b", "west");
    let affinity = |operator: &str| {
        let expression = format!("{{key: topology.kubernetes.io/zone, operator: {operator}, values: [east]}}");
        let term = format!("nodeSelectorTerms: [{{matchExpressions: [{expression}]}}]");
        format!("affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{{term}}}}}}}")
    };
    let preferred = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 9, preference: \
        {matchFields: [{key: metadata.name, operator: In, values: [b]}]}}]}}";
    let pods = pod("selected", "nodeSelector: {topology.kubernetes.io/zone: west}")
        + &pod("in", &affinity("In"))
        + &pod("not-in", &affinity("NotIn"))
        + &pod("preferred", preferred)
        + &pod("nowhere", "nodeSelector: {topology.kubernetes.io/zone: north}");
    check(
        &(nodes + &pods),
        expect![[r#"
        selected -> b of 1
        in -> a of 1
        not-in -> b of 1
        preferred -> b of 2
        nowhere: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.
    "#]],
    );
}

#[test]
fn a_port_of_the_host_is_taken_once() {
    let port = "containers: [{name: c, ports: [{containerPort: 80, hostPort: 8080}]}]";
    let pods: String = (0..3).map(|n| pod(&format!("p{n}"), port)).collect();
    check(
        &(node("a", "") + &node("b", "") + &pods),
        expect![[r#"
        p0 -> a of 2
        p1 -> b of 1
        p2: 0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.
    "#]],
    );
}

#[test]
fn pods_of_one_owner_spread_over_hosts_by_themselves() {
    let owned = |n: usize| {
        let owner = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: r1, controller: true}]";
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p{n}, {owner}}}, spec: {{containers: [{{name: c}}]}}}}\n---\n"
        )
    };
    let pods: String = (0..6).map(owned).collect();
    check(
        &(node("a", "") + &node("b", "") + &node("c", "") + &pods),
        expect![[r#"
        p0 -> a of 3
        p1 -> b of 3
        p2 -> c of 3
        p3 -> a of 3
        p4 -> b of 3
        p5 -> c of 3
    "#]],
    );
}

#[test]
fn a_hard_spread_constraint_refuses_what_it_must() {
    let constraint = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
        whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]";
    let pods: String = (0..4).map(|n| pod(&format!("p{n}"), &format!("{constraint}, {}", cpu("700m")))).collect();
    let small = "{apiVersion: v1, kind: Node, metadata: {name: small}, status: {allocatable: {cpu: '1', memory: 4Gi, pods: '10'}}}\n---\n";
    check(
        &(node("a", "") + small + &pods),
        expect![[r#"
        p0 -> a of 2
        p1 -> small of 1
        p2 -> a of 1
        p3: 0/2 nodes are available: 2 Insufficient cpu.
    "#]],
    );
}
