//! Nodes and pods in, the plan out.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::CONTROLLER;
use crate::plan::Action;
use crate::testing;

mod placement;
mod rolling;

const TEMPLATE: &str = "template: {metadata: {labels: {app: log}}, spec: {containers: [{name: c, image: 'i:2'}]}}";
const STATUS: &str = "currentNumberScheduled: 1, desiredNumberScheduled: 1, numberReady: 1, numberAvailable: 1, \
    updatedNumberScheduled: 1, numberMisscheduled: 0, observedGeneration: 1";
const ROLLING: &str = "updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}";

/// A set of these fields and this status.
fn set(spec: &str, status: &str) -> String {
    let spec = format!("spec: {{selector: {{matchLabels: {{app: log}}}}, {TEMPLATE}, {spec}}}");
    let annotations = "annotations: {deprecated.daemonset.template.generation: '2'}";
    let metadata = format!("metadata: {{name: log, namespace: a, uid: d1, generation: 1, {annotations}}}");
    format!("{{apiVersion: apps/v1, kind: DaemonSet, {metadata}, {spec}, status: {{{status}}}}}")
}

const OWNER: &str = "ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: log, uid: d1, controller: true}]";

/// A revision with its number and its template; its hash is its name.
fn revision(name: &str, number: u32, template: &str) -> String {
    let labels = format!("labels: {{app: log, controller-revision-hash: {name}}}");
    let metadata = format!("metadata: {{name: log-{name}, namespace: a, uid: r-{name}, {labels}, {OWNER}}}");
    let data = format!("data: {{spec: {{{template}}}}}");
    format!("\n---\n{{apiVersion: apps/v1, kind: ControllerRevision, {metadata}, {data}, revision: {number}}}")
}

/// The revision of the set's template.
fn present() -> String {
    revision("new", 2, TEMPLATE)
}

fn node(name: &str, spec: &str) -> String {
    let metadata = format!("metadata: {{name: {name}, labels: {{disk: ssd}}}}");
    format!("\n---\n{{apiVersion: v1, kind: Node, {metadata}, spec: {{{spec}}}}}")
}

/// A pod on a node, with the hash of its template, more metadata, and its status.
fn pod(name: &str, node: &str, hash: &str, metadata: &str, status: &str) -> String {
    let labels = format!("labels: {{app: log, controller-revision-hash: {hash}}}");
    let created = "creationTimestamp: '2026-01-01T00:09:00Z'";
    let metadata = format!("name: {name}, namespace: a, uid: {name}, {labels}, {created}, {OWNER}, {metadata}");
    let spec = format!("spec: {{nodeName: {node}}}");
    format!("\n---\n{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, {spec}, status: {{{status}}}}}")
}

const READY: &str =
    "phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T00:09:10Z'}]";
const UNREADY: &str = "phase: Running";

#[track_caller]
fn check(given: &str, expect: Expect) {
    testing::check(&CONTROLLER, "daemonsets a/log", given, expect);
}

#[test]
fn the_template_is_noted_before_any_pod_is_made() {
    check(
        &(set("", "") + &node("n1", "")),
        expect![[r#"
        create controllerrevisions.apps a/log-79bcb6497 labels={"app":"log","controller-revision-hash":"79bcb6497"} annotations={"deprecated.daemonset.template.generation":"2"}
    "#]],
    );
    // Its name is taken by what is not its own.
    let taken = revision("x", 1, "").replace("log-x", "log-4wtxgzq59q").replace("uid: d1", "uid: other");
    check(
        &(set("", "") + &taken),
        expect![[r#"
        create controllerrevisions.apps a/log-79bcb6497 labels={"app":"log","controller-revision-hash":"79bcb6497"} annotations={"deprecated.daemonset.template.generation":"2"}
    "#]],
    );
}

#[test]
fn a_settled_set_writes_nothing() {
    let given = set("", STATUS) + &present() + &node("n1", "") + &pod("p", "n1", "new", "", READY);
    check(
        &given,
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn a_template_that_comes_back_is_the_newest_again_and_old_ones_go() {
    let given = set("", STATUS) + &present() + &revision("later", 3, "template: {}");
    check(
        &given,
        expect![[r#"
        patch controllerrevisions.apps a/log-new {"metadata":{"resourceVersion":"10"},"revision":4}
    "#]],
    );
    let old = |name: &str, number: u32| revision(name, number, "template: {spec: {containers: []}}");
    let given = set("revisionHistoryLimit: 1", STATUS)
        + &revision("new", 9, TEMPLATE)
        + &(old("one", 1) + &old("two", 2) + &old("three", 3))
        + &node("n1", "")
        + &pod("p", "n1", "one", "", READY);
    check(
        &given,
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
        delete controllerrevisions.apps a/log-two
        delete controllerrevisions.apps a/log-three
        patch daemonsets.apps/status a/log {"status":{"updatedNumberScheduled":null}}
    "#]],
    );
}

#[test]
fn orphans_that_fit_are_taken_in_and_pods_that_fit_no_longer_are_let_go() {
    let given = set("", STATUS)
        + &present()
        + &node("n1", "")
        + &pod("orphan", "n1", "new", "", READY).replace(OWNER, "ownerReferences: []")
        + &pod("other", "n1", "new", "", READY).replace("app: log", "app: web")
        + &revision("old", 1, "template: {}").replace(OWNER, "ownerReferences: []");
    check(
        &given,
        expect![[r#"
        patch pods a/other {"metadata":{"ownerReferences":[],"resourceVersion":"10","uid":"other"}}
        patch pods a/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"log","uid":"d1"}],"resourceVersion":"10","uid":"orphan"}}
        patch controllerrevisions.apps a/log-old {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"log","uid":"d1"}],"resourceVersion":"10","uid":"r-old"}}
    "#]],
    );
}

#[test]
fn a_set_that_selects_everything_or_is_on_its_way_out_does_nothing() {
    let everything = set("", "").replace("{matchLabels: {app: log}}", "{}");
    check(
        &(everything + &node("n1", "")),
        expect![[r#"
        say Warning SelectingAll on log: This daemon set is selecting all pods. A non-empty selector is required.
    "#]],
    );
    let leaving = set("", "").replace("uid: d1,", "uid: d1, deletionTimestamp: '2026-01-01T00:10:00Z',");
    check(
        &(leaving + &node("n1", "")),
        expect![[r#"
        nothing to do
    "#]],
    );
}

/// A pod tolerates the troubles of its node, and may run nowhere else.
#[test]
fn a_pod_is_tied_to_its_node_and_lives_with_its_troubles() {
    let given = set("", STATUS) + &present() + &node("n1", "");
    let given = given.replace("spec: {containers", "spec: {hostNetwork: true, containers");
    let caches = testing::caches(&given);
    let plan = testing::plan_for(&caches, &CONTROLLER, "daemonsets a/log");
    let created = plan.steps.into_iter().flat_map(|step| step.acts).find_map(|act| match act.action {
        Action::Create { body, .. } => Some(body),
        _ => None,
    });
    let spec = &created.unwrap()["spec"];
    let affinity = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &affinity["nodeSelectorTerms"][0]["matchFields"][0];
    assert_eq!(field.to_string(), r#"{"key":"metadata.name","operator":"In","values":["n1"]}"#);
    let tolerations: Vec<&str> =
        spec["tolerations"].as_array().unwrap().iter().filter_map(|toleration| toleration["key"].as_str()).collect();
    let keys = ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"];
    let keys = keys.into_iter().chain(["network-unavailable"]).map(|key| format!("node.kubernetes.io/{key}"));
    assert_eq!(tolerations, keys.collect::<Vec<_>>());
    let effects: Vec<&Value> = spec["tolerations"].as_array().unwrap().iter().map(|one| &one["effect"]).collect();
    assert_eq!((effects[0], effects[1], effects[2]), (&"NoExecute".into(), &"NoExecute".into(), &"NoSchedule".into()));
}
