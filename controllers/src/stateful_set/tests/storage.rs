//! Claims of pods.

use expect_test::expect;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use serde::de::DeserializeOwned;

use super::SET;
use super::fixture::{Sts, pod, revision, running};
use crate::stateful_set::revisions::settle;
use crate::stateful_set::{CONTROLLER, Set, View, identity};
use crate::testing::{NOW, check};

const TEMPLATES: &str = "volumeClaimTemplates: [{metadata: {name: data, labels: {tier: gold}}, \
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]";

fn set(replicas: u32, retention: &str) -> String {
    let policy = format!("{TEMPLATES}, persistentVolumeClaimRetentionPolicy: {{{retention}}}");
    Sts::new(replicas).spec(&policy).build() + &revision(1, "v1")
}

fn claim(ordinal: u32, metadata: &str) -> String {
    let name = format!("data-web-{ordinal}");
    format!(
        "\n---\n{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}, namespace: a, uid: {name}{metadata}}}}}"
    )
}

fn owned_by(kind: &str, name: &str, uid: &str) -> String {
    let version = if kind == "Pod" { "v1" } else { "apps/v1" };
    format!(
        ", ownerReferences: [{{apiVersion: {version}, kind: {kind}, name: {name}, uid: {uid}, controller: true, \
        blockOwnerDeletion: true}}]"
    )
}

#[test]
fn a_claim_is_made_before_its_pod_and_found_again_later() {
    check(
        &CONTROLLER,
        SET,
        &set(1, ""),
        expect![[r#"
        create persistentvolumeclaims a/data-web-0 labels={"app":"web","tier":"gold"}
          say Normal SuccessfulCreate on web: create Claim data-web-0 Pod web-0 in StatefulSet web success
        create pods a/web-0 labels={"app":"web","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-0"}
          say Normal SuccessfulCreate on web: create Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set(1, "") + &claim(0, "")),
        expect![[r#"
        create pods a/web-0 labels={"app":"web","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"web-v1","statefulset.kubernetes.io/pod-name":"web-0"}
          say Normal SuccessfulCreate on web: create Pod web-0 in StatefulSet web successful
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
    "#]],
    );
}

#[test]
fn a_pending_pod_gets_a_claim_that_was_lost() {
    check(
        &CONTROLLER,
        SET,
        &(set(1, "") + &pod(0, "v1", "status: {phase: Pending}")),
        expect![[r#"
        create persistentvolumeclaims a/data-web-0 labels={"app":"web","tier":"gold"}
          say Normal SuccessfulCreate on web: create Claim data-web-0 Pod web-0 in StatefulSet web success
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
}

#[test]
fn a_claim_on_its_way_out_is_waited_for() {
    let leaving = claim(0, ", deletionTimestamp: '2026-01-01T00:00:00Z'");
    check(
        &CONTROLLER,
        SET,
        &(set(1, "") + &leaving),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
    "#]],
    );
    let of_an_earlier_pod = claim(0, &owned_by("Pod", "web-0", "earlier"));
    check(
        &CONTROLLER,
        SET,
        &(set(1, "whenScaled: Delete") + &of_an_earlier_pod),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":0,"collisionCount":0,"currentRevision":"web-v1","observedGeneration":1,"updateRevision":"web-v1"}}
    "#]],
    );
}

#[test]
fn the_retention_policy_says_who_takes_a_claim_along() {
    let pods = running(0, "v1") + &running(1, "v1");
    let claims = claim(0, "") + &claim(1, "");
    for retention in ["", "whenDeleted: Delete", "whenScaled: Delete", "whenDeleted: Delete, whenScaled: Delete"] {
        let given = set(1, retention) + &pods + &claims;
        check(
            &CONTROLLER,
            SET,
            &given,
            match retention {
                "" => expect![[r#"
                    delete pods a/web-1
                      say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
                    patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
                "#]],
                "whenDeleted: Delete" => expect![[r#"
                    patch persistentvolumeclaims a/data-web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"s1"}],"resourceVersion":"10"}}
                    patch persistentvolumeclaims a/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"s1"}],"resourceVersion":"10"}}
                    delete pods a/web-1
                      say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
                    patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
                "#]],
                "whenScaled: Delete" => expect![[r#"
                    patch persistentvolumeclaims a/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-1","uid":"web-1"}],"resourceVersion":"10"}}
                    delete pods a/web-1
                      say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
                    patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
                "#]],
                _ => expect![[r#"
                    patch persistentvolumeclaims a/data-web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"s1"}],"resourceVersion":"10"}}
                    patch persistentvolumeclaims a/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-1","uid":"web-1"}],"resourceVersion":"10"}}
                    delete pods a/web-1
                      say Normal SuccessfulDelete on web: delete Pod web-1 in StatefulSet web successful
                    patch statefulsets.apps/status a/web {"status":{"availableReplicas":2,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-v1","updatedReplicas":2}}
                "#]],
            },
        );
    }
}

#[test]
fn a_policy_that_retains_again_takes_owners_away_and_those_of_others_stay() {
    let settled = |claims: &str| set(1, "") + &running(0, "v1") + claims;
    check(
        &CONTROLLER,
        SET,
        &settled(&claim(0, &owned_by("StatefulSet", "web", "s1"))),
        expect![[r#"
        patch persistentvolumeclaims a/data-web-0 {"metadata":{"ownerReferences":[],"resourceVersion":"10"}}
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &settled(&claim(0, &owned_by("StatefulSet", "web", "earlier"))),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &settled(&claim(0, &owned_by("Database", "web", "d1"))),
        expect![[r#"
        patch statefulsets.apps/status a/web {"status":{"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-v1","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-v1","updatedReplicas":1}}
    "#]],
    );
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text.trim_start_matches("\n---\n")).unwrap()
}

#[test]
fn a_pod_has_the_template_with_its_identity_over_it() {
    let pod_spec = "spec: {serviceAccountName: robot, volumes: [{name: data, emptyDir: {}}, {name: tmp, emptyDir: {}}], \
        containers";
    let text = Sts::new(1).spec(TEMPLATES).build().replace("spec: {containers", pod_spec);
    let kept = revision(1, "v1").replace("spec: {containers", pod_spec);
    let (stateful_set, kept): (StatefulSet, ControllerRevision) = (read(&text), read(&kept));
    let view = View { stateful_set: &stateful_set, pods: &[], claims: &[], revisions: &[], now: NOW.parse().unwrap() };
    let revisions = settle(&mut crate::plan::Plan::default(), &view, vec![&kept]).unwrap();
    let made = identity::pod(&Set::new(&view, revisions, &[]), 7);
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "generateName": "web-",
            "labels": {
              "app": "web",
              "apps.kubernetes.io/pod-index": "7",
              "controller-revision-hash": "web-v1",
              "statefulset.kubernetes.io/pod-name": "web-7"
            },
            "name": "web-7",
            "namespace": "a",
            "ownerReferences": [
              {
                "apiVersion": "apps/v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "StatefulSet",
                "name": "web",
                "uid": "s1"
              }
            ]
          },
          "spec": {
            "containers": [
              {
                "image": "v1",
                "name": "c"
              }
            ],
            "hostname": "web-7",
            "serviceAccountName": "robot",
            "subdomain": "db",
            "volumes": [
              {
                "name": "data",
                "persistentVolumeClaim": {
                  "claimName": "data-web-7"
                }
              },
              {
                "emptyDir": {},
                "name": "tmp"
              }
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&made).unwrap());
}
