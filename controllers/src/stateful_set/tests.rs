use expect_test::expect;

use super::CONTROLLER;
use crate::testing::check;

mod fixture;
mod history;
mod storage;
mod updates;

use fixture::{OWNER, Sts, pod, revision, running, unready};

const SET: &str = "statefulsets a/web";

#[test]
fn the_template_is_kept_before_anything_is_made_from_it() {
    check(
        &CONTROLLER,
        SET,
        &Sts::new(2).build(),
        expect![[r#"
        create controllerrevisions.apps a/web-548df6b887 labels={"app":"web","controller.kubernetes.io/hash":"548df6b887"}
    "#]],
    );
}

#[test]
fn pods_come_one_by_one_and_each_waits_for_the_one_before() {
    let set = Sts::new(3).build() + &revision(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &set,
        expect![[r#"
        create pods a/web-0 labels={"app":"web","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-0"}
          say Normal SuccessfulCreate on web: create Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &unready(0, "v1")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &running(0, "v1")),
        expect![[r#"
        create pods a/web-1 labels={"app":"web","apps.kubernetes.io/pod-index":"1","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-1"}
          say Normal SuccessfulCreate on web: create Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
    let lately = running(0, "v1").replace("00:00:05", "00:09:50");
    let patient = set.replace("replicas: 3", "replicas: 3, minReadySeconds: 30");
    check(
        &CONTROLLER,
        SET,
        &(patient + &lately),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
        wake after 20s
    "#]],
    );
}

#[test]
fn a_parallel_set_makes_all_pods_at_once() {
    let set = Sts::new(3).spec("podManagementPolicy: Parallel").build() + &revision(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set + &unready(1, "v1")),
        expect![[r#"
        create pods a/web-0 labels={"app":"web","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-0"}
          say Normal SuccessfulCreate on web: create Pod web-0 in StatefulSet web successful
        create pods a/web-2 labels={"app":"web","apps.kubernetes.io/pod-index":"2","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-2"}
          say Normal SuccessfulCreate on web: create Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
}

#[test]
fn ordinals_begin_where_the_set_says() {
    let set = Sts::new(2).spec("ordinals: {start: 5}").build() + &revision(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set + &running(5, "v1") + &running(4, "v1")),
        expect![[r#"
        create pods a/web-6 labels={"app":"web","apps.kubernetes.io/pod-index":"6","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-6"}
          say Normal SuccessfulCreate on web: create Pod web-6 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
    "#]],
    );
}

#[test]
fn a_settled_set_writes_nothing() {
    let set = Sts::new(2).settled().build() + &revision(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set + &running(0, "v1") + &running(1, "v1")),
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn the_highest_pod_goes_first_and_the_next_waits_until_it_is_gone() {
    let set = Sts::new(1).build() + &revision(1, "v1");
    let three = set + &running(0, "v1") + &running(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &(three.clone() + &running(2, "v1")),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-v1","updatedReplicas":3}}
    "#]],
    );
    let leaving = running(2, "v1").replace("uid: web-2", "uid: web-2, deletionTimestamp: '2026-01-01T00:00:00Z'");
    check(
        &CONTROLLER,
        SET,
        &(three.clone() + &leaving),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":3,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-v1","updatedReplicas":2}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &three,
        expect![[r#"
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
    "#]],
    );
    // Nothing goes while one that stays is not well.
    let broken = three.replacen("status: 'True'", "status: 'False'", 1);
    check(
        &CONTROLLER,
        SET,
        &broken,
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
    "#]],
    );
}

#[test]
fn of_pods_that_are_not_well_the_lowest_goes_first_as_upstream() {
    let set = Sts::new(1).build() + &revision(1, "v1") + &running(0, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &running(1, "v1") + &unready(2, "v1")),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":3,"updateRevision":"web-v1","updatedReplicas":3}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set + &unready(1, "v1") + &unready(2, "v1")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":3,"updateRevision":"web-v1","updatedReplicas":3}}
    "#]],
    );
}

#[test]
fn a_parallel_set_takes_away_all_at_once() {
    let set = Sts::new(1).spec("podManagementPolicy: Parallel").build() + &revision(1, "v1");
    check(
        &CONTROLLER,
        SET,
        &(set + &running(0, "v1") + &unready(1, "v1") + &running(2, "v1")),
        expect![[r#"
        delete pods a/web-2
          say Normal SuccessfulDelete on web: delete Pod web-2 in StatefulSet web successful
        delete pods a/web-1
          say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":3,"updateRevision":"web-v1","updatedReplicas":3}}
    "#]],
    );
}

#[test]
fn a_pod_that_ended_is_deleted_and_made_anew() {
    let set = Sts::new(1).build() + &revision(1, "v1");
    let ended = |phase: &str| set.clone() + &pod(0, "v1", &format!("status: {{phase: {phase}}}"));
    check(
        &CONTROLLER,
        SET,
        &ended("Failed"),
        expect![[r#"
        delete pods a/web-0
          say Normal SuccessfulDelete on web: delete Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
        say Warning RecreatingFailedPod on web: StatefulSet a/web is recreating failed Pod web-0
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &ended("Succeeded"),
        expect![[r#"
        delete pods a/web-0
          say Normal SuccessfulDelete on web: delete Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
        say Normal RecreatingTerminatedPod on web: StatefulSet a/web is recreating terminated Pod web-0
    "#]],
    );
    let leaving = pod(0, "v1", "status: {phase: Failed}")
        .replace("uid: web-0", "uid: web-0, deletionTimestamp: '2026-01-01T00:00:00Z'");
    check(
        &CONTROLLER,
        SET,
        &(set + &leaving),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1"}}
    "#]],
    );
}

#[test]
fn a_pod_on_its_way_out_is_not_replaced_before_it_is_gone() {
    let leaving = running(0, "v1").replace("uid: web-0", "uid: web-0, deletionTimestamp: '2026-01-01T00:00:00Z'");
    for policy in ["OrderedReady", "Parallel"] {
        let set = Sts::new(1).spec(&format!("podManagementPolicy: {policy}")).build() + &revision(1, "v1");
        check(
            &CONTROLLER,
            SET,
            &(set + &leaving),
            expect![[r#"
            patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1"}}
        "#]],
        );
    }
}

#[test]
fn a_name_that_a_pod_of_another_has_is_waited_for() {
    let foreign = running(0, "v1").replace("name: web, uid: s1", "name: web, uid: earlier");
    let orphan_of_other_labels = running(0, "v1").replace(OWNER, "x: y").replace("app: web", "app: db");
    let leaving_orphan = running(0, "v1").replace(OWNER, "deletionTimestamp: '2026-01-01T00:00:00Z'");
    for given in [foreign, orphan_of_other_labels, leaving_orphan] {
        let set = Sts::new(1).build() + &revision(1, "v1");
        check(
            &CONTROLLER,
            SET,
            &(set + &given),
            expect![[r#"
            patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
        "#]],
        );
    }
}

#[test]
fn pods_are_taken_in_and_let_go_by_name_and_labels() {
    let set = Sts::new(2).build() + &revision(1, "v1");
    let orphan = running(0, "v1").replace(OWNER, "resourceVersion: '5'");
    let relabelled = running(1, "v1").replace("app: web", "app: db");
    let stranger = running(1, "v1").replace("web-1", "webs-1").replace(OWNER, "resourceVersion: '5'");
    check(
        &CONTROLLER,
        SET,
        &(set.clone() + &orphan + &relabelled + &stranger),
        expect![[r#"
        patch pods a/web-1 {"metadata":{"ownerReferences":[],"resourceVersion":"10","uid":"web-1"}}
        patch pods a/web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"s1"}],"resourceVersion":"5","uid":"web-0"}}
    "#]],
    );
    // What was taken in gets the labels of its identity.
    let unlabelled = running(0, "v1").replace("statefulset.kubernetes.io/pod-name: web-0, ", "");
    check(
        &CONTROLLER,
        SET,
        &(set + &unlabelled),
        expect![[r#"
        patch pods a/web-0 {"metadata":{"labels":{"statefulset.kubernetes.io/pod-name":"web-0"},"resourceVersion":"10"}}
        create pods a/web-1 labels={"app":"web","apps.kubernetes.io/pod-index":"1","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-1"}
          say Normal SuccessfulCreate on web: create Pod web-1 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
}

#[test]
fn a_set_on_its_way_out_only_reports() {
    let set = Sts::new(3).build().replace("uid: s1", "uid: s1, deletionTimestamp: '2026-01-01T00:00:00Z'");
    check(
        &CONTROLLER,
        SET,
        &(set + &revision(1, "v1") + &running(0, "v1")),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"observedGeneration":1,"readyReplicas":1,"replicas":1}}
    "#]],
    );
}
