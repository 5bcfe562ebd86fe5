use expect_test::expect;

use super::CONTROLLER;
use crate::testing::{check, check_failed};

const TEMPLATE: &str = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}";

fn replica_set(replicas: u32, status: &str) -> String {
    let spec = format!("spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}}}");
    let metadata = "metadata: {name: web, namespace: a, uid: r1, generation: 1}";
    format!("{{apiVersion: apps/v1, kind: ReplicaSet, {metadata}, {spec}, status: {{{status}}}}}")
}

const OWNER: &str = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: r1, controller: true}]";

/// `name`, then what differs from a pod of its own that has been ready for ten minutes.
fn pod(name: &str, metadata: &str, status: &str) -> String {
    let created = "creationTimestamp: '2026-01-01T00:00:00Z'";
    let metadata = format!("{{name: {name}, namespace: a, uid: {name}, labels: {{app: web}}, {created}, {metadata}}}");
    format!("\n---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, {status}}}")
}

fn ready(since: &str) -> String {
    let condition = format!("{{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T{since}Z'}}");
    format!("spec: {{nodeName: n1}}, status: {{phase: Running, conditions: [{condition}]}}")
}

#[test]
fn missing_pods_are_created_and_reported() {
    check(
        &CONTROLLER,
        "replicasets a/web",
        &replica_set(2, ""),
        expect![[r#"
        create pods a/web-4w4q7 labels={"app":"web"}
          say Normal SuccessfulCreate on web: Created pod: web-4w4q7
        create pods a/web-7d44x labels={"app":"web"}
          say Normal SuccessfulCreate on web: Created pod: web-7d44x
        patch replicasets.apps/status a/web {"status":{"observedGeneration":1,"terminatingReplicas":0}}
    "#]],
    );
}

#[test]
fn a_settled_one_writes_nothing() {
    let status = "replicas: 1, readyReplicas: 1, availableReplicas: 1, fullyLabeledReplicas: 1, \
        terminatingReplicas: 0, observedGeneration: 1";
    let given = replica_set(1, status) + &pod("p", OWNER, &ready("00:00:05"));
    check(
        &CONTROLLER,
        "replicasets a/web",
        &given,
        expect![[r#"
            nothing to do
        "#]],
    );
}

#[test]
fn the_least_useful_pods_go_first() {
    let status = "replicas: 6, observedGeneration: 1, terminatingReplicas: 0";
    let cheap = format!("{OWNER}, annotations: {{controller.kubernetes.io/pod-deletion-cost: '-1'}}");
    let pods = pod("old", OWNER, &ready("00:00:05"))
        + &pod("young", OWNER, &ready("00:09:55"))
        + &pod("unready", OWNER, "spec: {nodeName: n1}, status: {phase: Running}")
        + &pod("pending", OWNER, "spec: {nodeName: n1}, status: {phase: Pending}")
        + &pod("unscheduled", OWNER, "status: {phase: Pending}")
        + &pod("cheap", &cheap, &ready("00:00:05"));
    check(
        &CONTROLLER,
        "replicasets a/web",
        &(replica_set(4, status) + &pods),
        expect![[r#"
        delete pods a/unscheduled
          say Normal SuccessfulDelete on web: Deleted pod: unscheduled
        delete pods a/pending
          say Normal SuccessfulDelete on web: Deleted pod: pending
        patch replicasets.apps/status a/web {"status":{"availableReplicas":3,"fullyLabeledReplicas":6,"readyReplicas":3}}
    "#]],
    );
    check(
        &CONTROLLER,
        "replicasets a/web",
        &(replica_set(1, status) + &pods),
        expect![[r#"
        delete pods a/unscheduled
          say Normal SuccessfulDelete on web: Deleted pod: unscheduled
        delete pods a/pending
          say Normal SuccessfulDelete on web: Deleted pod: pending
        delete pods a/unready
          say Normal SuccessfulDelete on web: Deleted pod: unready
        delete pods a/cheap
          say Normal SuccessfulDelete on web: Deleted pod: cheap
        delete pods a/young
          say Normal SuccessfulDelete on web: Deleted pod: young
        patch replicasets.apps/status a/web {"status":{"availableReplicas":3,"fullyLabeledReplicas":6,"readyReplicas":3}}
    "#]],
    );
}

#[test]
fn pods_are_taken_in_and_let_go_by_their_labels() {
    let foreign = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: x, uid: x1, controller: true}]";
    let other = pod("other", OWNER, &ready("00:00:05")).replace("labels: {app: web}", "labels: {app: db}");
    let pods = pod("orphan", "resourceVersion: '5'", &ready("00:00:05"))
        + &pod("foreign", foreign, &ready("00:00:05"))
        + &other;
    check(
        &CONTROLLER,
        "replicasets a/web",
        &(replica_set(1, "") + &pods),
        expect![[r#"
        patch pods a/other {"metadata":{"ownerReferences":[],"resourceVersion":"10","uid":"other"}}
        patch pods a/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}],"resourceVersion":"5","uid":"orphan"}}
        patch replicasets.apps/status a/web {"status":{"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":1,"readyReplicas":1,"replicas":1,"terminatingReplicas":0}}
    "#]],
    );
}

#[test]
fn ended_and_leaving_pods_are_replaced() {
    let leaving = format!("{OWNER}, deletionTimestamp: '2026-01-01T00:10:00Z'");
    let pods = pod("failed", OWNER, "status: {phase: Failed}") + &pod("leaving", &leaving, &ready("00:00:05"));
    check(
        &CONTROLLER,
        "replicasets a/web",
        &(replica_set(1, "") + &pods),
        expect![[r#"
        create pods a/web-4w4q7 labels={"app":"web"}
          say Normal SuccessfulCreate on web: Created pod: web-4w4q7
        patch replicasets.apps/status a/web {"status":{"observedGeneration":1,"terminatingReplicas":1}}
    "#]],
    );
}

#[test]
fn a_refusal_is_reported_once() {
    let status = "replicas: 0, terminatingReplicas: 0, observedGeneration: 1";
    let given = replica_set(1, status);
    check_failed(
        &CONTROLLER,
        "replicasets a/web",
        &given,
        "exceeded quota",
        expect![[r#"
        create pods a/web-4w4q7 labels={"app":"web"}
          say Normal SuccessfulCreate on web: Created pod: web-4w4q7
        patch replicasets.apps/status a/web {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:10:00Z","message":"exceeded quota","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}]}}
    "#]],
    );
    let condition = "{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: exceeded quota, \
        lastTransitionTime: '2026-01-01T00:00:00Z'}";
    let given = replica_set(1, &format!("{status}, conditions: [{condition}]"));
    check_failed(
        &CONTROLLER,
        "replicasets a/web",
        &given,
        "exceeded another quota",
        expect![[r#"
        create pods a/web-4w4q7 labels={"app":"web"}
          say Normal SuccessfulCreate on web: Created pod: web-4w4q7
    "#]],
    );
}

#[test]
fn a_pod_is_available_some_time_after_it_is_ready() {
    let status =
        "replicas: 1, readyReplicas: 1, fullyLabeledReplicas: 1, terminatingReplicas: 0, observedGeneration: 1";
    let given = replica_set(1, status).replace("replicas: 1, selector", "replicas: 1, minReadySeconds: 30, selector");
    check(
        &CONTROLLER,
        "replicasets a/web",
        &(given + &pod("p", OWNER, &ready("00:09:50"))),
        expect![[r#"
        wake after 20s
    "#]],
    );
}
