use expect_test::expect;

use super::CONTROLLER;
use crate::testing::{check, check_after};

const LEASE: &str = "
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: n1, namespace: kube-node-lease},
 spec: {renewTime: '2020-01-01T00:00:00.000000Z'}}";

fn node(ready: &str, taints: &str) -> String {
    let conditions: Vec<String> =
        [("Ready", ready), ("MemoryPressure", if ready == "Unknown" { "Unknown" } else { "False" })]
            .into_iter()
            .chain(
                ["DiskPressure", "PIDPressure"]
                    .map(|kind| (kind, if ready == "Unknown" { "Unknown" } else { "False" })),
            )
            .map(|(kind, status)| format!("{{type: {kind}, status: '{status}'}}"))
            .collect();
    let status = format!("status: {{conditions: [{}]}}", conditions.join(", "));
    format!("{{apiVersion: v1, kind: Node, metadata: {{name: n1}}, spec: {{taints: [{taints}]}}, {status}}}{LEASE}")
}

fn pod(name: &str, metadata: &str, spec: &str) -> String {
    let status = "status: {phase: Running, conditions: [{type: Ready, status: 'False'}]}";
    format!(
        "\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: a, uid: {name}{metadata}}}, spec: {{nodeName: n1{spec}}}, {status}}}"
    )
}

/// Since when the node is unreachable; tests happen at 00:10:00.
fn unreachable(since: &str) -> String {
    let taint =
        |effect| format!("{{key: node.kubernetes.io/unreachable, effect: {effect}, timeAdded: '2026-01-01T{since}Z'}}");
    format!("{}, {}", taint("NoSchedule"), taint("NoExecute"))
}

#[test]
fn a_node_that_renews_its_lease_is_left_alone_whatever_its_clock_says() {
    check(
        &CONTROLLER,
        "nodes n1",
        &node("True", ""),
        expect![[r#"
            wake after 10s
        "#]],
    );
    check_after(
        4,
        &CONTROLLER,
        "nodes n1",
        &node("True", ""),
        expect![[r#"
            wake after 6s
        "#]],
    );
}

#[test]
fn a_silent_node_becomes_unknown_then_tainted() {
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &node("True", ""),
        expect![[r#"
        patch nodes/status n1 {"metadata":{"resourceVersion":"10"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"Ready"},{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"MemoryPressure"},{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"DiskPressure"},{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"PIDPressure"}]}}
        say Normal NodeNotReady on n1: Node n1 status is now: NodeNotReady
    "#]],
    );
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &node("Unknown", ""),
        expect![[r#"
        patch nodes n1 {"metadata":{"resourceVersion":"10"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:10:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:10:00Z"}]}}
    "#]],
    );
}

#[test]
fn a_node_that_is_back_loses_its_taint_but_not_those_of_others() {
    let taints = format!("{}, {{key: example.com/x, effect: NoSchedule}}", unreachable("00:00:00"));
    check(
        &CONTROLLER,
        "nodes n1",
        &node("True", &taints),
        expect![[r#"
        patch nodes n1 {"metadata":{"resourceVersion":"10"},"spec":{"taints":[{"effect":"NoSchedule","key":"example.com/x"}]}}
        wake after 10s
    "#]],
    );
}

#[test]
fn pods_of_a_lost_node_leave_when_they_tolerate_it_no_longer() {
    let toleration = |seconds: &str| {
        format!(
            ", tolerations: [{{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute{seconds}}}]"
        )
    };
    let pods = pod("default", "", "")
        + &pod("patient", "", &toleration(", tolerationSeconds: 300"))
        + &pod("forever", "", &toleration(""))
        + &pod("impatient", "", &toleration(", tolerationSeconds: 0"));
    let lost = |since: &str| node("Unknown", &unreachable(since)) + &pods;
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &lost("00:09:50"),
        expect![[r#"
        delete pods a/impatient
          say Normal TaintManagerEviction on impatient: Marking for deletion Pod a/impatient
        wake after 20s
    "#]],
    );
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &lost("00:09:30"),
        expect![[r#"
        delete pods a/default
          say Normal TaintManagerEviction on default: Marking for deletion Pod a/default
        delete pods a/impatient
          say Normal TaintManagerEviction on impatient: Marking for deletion Pod a/impatient
        wake after 270s
    "#]],
    );
}

#[test]
fn a_ready_pod_of_a_lost_node_is_ready_no_more() {
    let pod = pod("p", "", "").replace("status: 'False'", "status: 'True'");
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &(node("Unknown", &unreachable("00:09:59")) + &pod),
        expect![[r#"
            patch pods/status a/p {"metadata":{"resourceVersion":"10"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:10:00Z","reason":"NodeNotReady","status":"False","type":"Ready"}]}}
              say Warning NodeNotReady on p: Node is not ready
            wake after 29s
        "#]],
    );
}

#[test]
fn a_leaving_pod_of_a_lost_node_is_removed_when_its_grace_is_over() {
    let leaving = |until: &str| pod("p", &format!(", deletionTimestamp: '2026-01-01T{until}Z'"), "");
    let lost = node("Unknown", &unreachable("00:00:00"));
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &(lost.clone() + &leaving("00:10:05")),
        expect![[r#"
        wake after 7s
    "#]],
    );
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &(lost + &leaving("00:09:58")),
        expect![[r#"
        delete pods a/p grace=0s
    "#]],
    );
    let well = node("True", "") + &leaving("00:09:58");
    check(
        &CONTROLLER,
        "nodes n1",
        &well,
        expect![[r#"
            wake after 10s
        "#]],
    );
}

#[test]
fn a_leaving_pod_of_a_stateful_set_stays_until_its_node_or_somebody_confirms_its_end() {
    let owner = ", ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: p, uid: s1, controller: true}]";
    let label = ", labels: {statefulset.kubernetes.io/pod-name: p-0}";
    let leaving = ", deletionTimestamp: '2026-01-01T00:00:00Z'";
    for (metadata, stays) in [(owner, true), (label, true), (", labels: {app: p}", false)] {
        let lost = node("Unknown", &unreachable("00:00:00")) + &pod("p-0", &format!("{metadata}{leaving}"), "");
        let by_force = expect![[r#"
            delete pods a/p-0 grace=0s
        "#]];
        let nothing = expect![[r#"
            nothing to do
        "#]];
        check_after(10, &CONTROLLER, "nodes n1", &lost, if stays { nothing } else { by_force });
    }
    // It is told to go like any other.
    check_after(
        10,
        &CONTROLLER,
        "nodes n1",
        &(node("Unknown", &unreachable("00:00:00")) + &pod("p-0", owner, "")),
        expect![[r#"
            delete pods a/p-0
              say Normal TaintManagerEviction on p-0: Marking for deletion Pod a/p-0
        "#]],
    );
}
