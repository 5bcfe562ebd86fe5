//! A new template, brought to the pods.

use expect_test::expect;

use super::SET;
use super::fixture::{Sts, revision, running, unready};
use crate::stateful_set::CONTROLLER;
use crate::testing::check;

/// A set of three whose template is `v2` now.
fn rolling(spec: &str) -> String {
    let status = "replicas: 3, currentRevision: web-v1, updateRevision: web-v2";
    let set = Sts::new(3).image("v2").spec(spec).status(status).build();
    set + &revision(1, "v1") + &revision(2, "v2")
}

const ROLLING: &str = "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}";

#[test]
fn an_update_goes_from_the_highest_down_and_waits_for_each() {
    let (old, new) = (|ordinal| running(ordinal, "v1"), |ordinal| running(ordinal, "v2"));
    let set = rolling(ROLLING);
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &old(0) + &old(1) + &old(2)),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"observedGeneration":1,"readyReplicas":3}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &old(0) + &old(1)),
        expect![[r#"
        create pods a/web-2 labels={"app":"web","apps.kubernetes.io/pod-index":"2","controller-revision-hash":"web-v2","statefulset.kubernetes.io/pod-name":"web-2"}
          say Normal SuccessfulCreate on web: create Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"replicas":2}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &old(0) + &old(1) + &unready(2, "v2")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &old(0) + &old(1) + &new(2)),
        expect![[r#"
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":3,"updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set + &new(0) + &new(1) + &new(2)),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-v2","observedGeneration":1,"readyReplicas":3,"updatedReplicas":3}}
    "#]],
    );
}

#[test]
fn a_partition_keeps_lower_pods_at_the_old_template_even_when_they_are_made_anew() {
    let set = rolling("updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}");
    let (zero, one) = (running(0, "v1"), running(1, "v1"));
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &zero + &one + &running(2, "v1")),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"observedGeneration":1,"readyReplicas":3}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &zero + &one + &running(2, "v2")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":3,"updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &zero + &running(2, "v2")),
        expect![[r#"
        create pods a/web-1 labels={"app":"web","apps.kubernetes.io/pod-index":"1","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-1"}
          say Normal SuccessfulCreate on web: create Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":1,"observedGeneration":1,"readyReplicas":2,"replicas":2,"updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set + &zero + &one),
        expect![[r#"
        create pods a/web-2 labels={"app":"web","apps.kubernetes.io/pod-index":"2","controller-revision-hash":"web-v2","statefulset.kubernetes.io/pod-name":"web-2"}
          say Normal SuccessfulCreate on web: create Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"replicas":2}}
    "#]],
    );
}

#[test]
fn pods_are_updated_when_somebody_deletes_them() {
    let set = rolling("updateStrategy: {type: OnDelete}");
    let (zero, one) = (running(0, "v1"), running(1, "v1"));
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &zero + &one + &running(2, "v1")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"observedGeneration":1,"readyReplicas":3}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set + &zero + &one),
        expect![[r#"
        create pods a/web-2 labels={"app":"web","apps.kubernetes.io/pod-index":"2","controller-revision-hash":"web-v2","statefulset.kubernetes.io/pod-name":"web-2"}
          say Normal SuccessfulCreate on web: create Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"replicas":2}}
    "#]],
    );
}

#[test]
fn as_many_as_may_be_unavailable_are_updated_at_once() {
    let set = rolling("updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0, maxUnavailable: 70%}}");
    let all = running(0, "v1") + &running(1, "v1") + &running(2, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &all),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"observedGeneration":1,"readyReplicas":3}}
    "#]],
    );
    let parallel = set.replace("updateStrategy", "podManagementPolicy: Parallel, updateStrategy");
    let one_is_new = running(0, "v1") + &running(1, "v1") + &unready(2, "v2");
    check(
        &CONTROLLER,
        SET,
        &(parallel + &one_is_new),
        expect![[r#"
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"updatedReplicas":1}}
    "#]],
    );
}

#[test]
fn a_broken_pod_of_the_old_template_stops_an_ordered_update_and_no_parallel_one() {
    let pods = running(0, "v1") + &unready(1, "v1") + &running(2, "v2");
    check(
        &CONTROLLER,
        SET,
        &(rolling(ROLLING) + &pods),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"updatedReplicas":1}}
    "#]],
    );
    let parallel = format!("podManagementPolicy: Parallel, {ROLLING}");
    check(
        &CONTROLLER,
        SET,
        &(rolling(&parallel) + &pods),
        expect![[r#"
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"observedGeneration":1,"readyReplicas":2,"updatedReplicas":1}}
    "#]],
    );
}

#[test]
fn a_broken_pod_of_the_old_template_is_one_that_is_unavailable() {
    let parallel = format!("podManagementPolicy: Parallel, {ROLLING}");
    check(
        &CONTROLLER,
        SET,
        &(rolling(&parallel) + &unready(0, "v1") + &running(1, "v1") + &running(2, "v1")),
        expect![[r#"
        delete pods a/web-0
          say Normal SuccessfulDelete on web: delete Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":3,"observedGeneration":1,"readyReplicas":2}}
    "#]],
    );
}
