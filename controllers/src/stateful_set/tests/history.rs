//! Templates of the past.

use expect_test::expect;

use super::SET;
use super::fixture::{OWNER, Sts, revision, running};
use crate::stateful_set::CONTROLLER;
use crate::testing::check;

#[test]
fn a_template_that_comes_back_becomes_the_newest() {
    let set = Sts::new(1).settled().build() + &revision(1, "v1") + &revision(2, "v2");
    check(
        &CONTROLLER,
        SET,
        &(set + &running(0, "v2")),
        expect![[r#"
        patch controllerrevisions.apps a/web-v1 {"metadata":{"resourceVersion":"10"},"revision":3}
    "#]],
    );
}

#[test]
fn a_new_template_gets_the_next_number() {
    let set = Sts::new(1).settled().image("v3").build() + &revision(1, "v1") + &revision(2, "v2");
    check(
        &CONTROLLER,
        SET,
        &(set + &running(0, "v2")),
        expect![[r#"
        create controllerrevisions.apps a/web-7dd4699c85 labels={"app":"web","controller.kubernetes.io/hash":"7dd4699c85"}
    "#]],
    );
}

#[test]
fn a_name_that_is_taken_is_counted_and_the_next_try_has_another() {
    let foreign = revision(1, "v9").replace(OWNER, "annotations: {}").replace("app: web", "app: db");
    let taken = foreign.replace("name: web-v9", "name: web-548df6b887");
    check(
        &CONTROLLER,
        SET,
        &(Sts::new(1).build() + &taken),
        expect![[r#"
            patch statefulsets.apps/status a/web {"status":{"collisionCount":1}}
        "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(Sts::new(1).status("replicas: 0, collisionCount: 1").build() + &taken),
        expect![[r#"
        create controllerrevisions.apps a/web-55c74648b6 labels={"app":"web","controller.kubernetes.io/hash":"55c74648b6"}
    "#]],
    );
}

#[test]
fn revisions_of_nobody_are_taken_in() {
    let orphan = revision(1, "v1").replace(OWNER, "resourceVersion: '5'");
    check(
        &CONTROLLER,
        SET,
        &(Sts::new(1).build() + &orphan),
        expect![[r#"
        patch controllerrevisions.apps a/web-v1 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"s1"}],"resourceVersion":"5"}}
    "#]],
    );
}

#[test]
fn the_oldest_revisions_go_when_there_are_too_many_and_none_that_a_pod_has() {
    let set = Sts::new(1).image("v5").spec("revisionHistoryLimit: 1, updateStrategy: {type: OnDelete}").status(
        "replicas: 1, readyReplicas: 1, availableReplicas: 1, currentReplicas: 1, \
        currentRevision: web-v1, updateRevision: web-v5, observedGeneration: 1, collisionCount: 0",
    );
    let all: String = (1..=5).map(|number| revision(number, &format!("v{number}"))).collect();
    check(
        &CONTROLLER,
        SET,
        &(set.build() + &all + &running(0, "v1")),
        expect![[r#"
        delete controllerrevisions.apps a/web-v2
        delete controllerrevisions.apps a/web-v3
    "#]],
    );
    check(
        &CONTROLLER,
        SET,
        &(set.build() + &all + &running(0, "v2")),
        expect![[r#"
        delete controllerrevisions.apps a/web-v3
        patch statefulsets.apps/status a/web {"status":{"currentReplicas":null}}
    "#]],
    );
}
