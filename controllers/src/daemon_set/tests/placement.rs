//! Which nodes have a pod.

use expect_test::expect;

use super::{CONTROLLER, READY, STATUS, UNREADY, check, node, pod, present, set};
use crate::testing;

#[test]
fn every_node_that_fits_gets_one() {
    let given = set("", "") + &present() + &node("n1", "") + &node("n2", "") + &node("n3", "unschedulable: true");
    check(
        &given,
        expect![[r#"
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        create pods a/log-7d44x labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-7d44x
        create pods a/log-mswxn labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-mswxn
        patch daemonsets.apps/status a/log {"status":{"desiredNumberScheduled":3,"numberUnavailable":3,"observedGeneration":1}}
    "#]],
    );
}

/// Whether a pod with this in its specification is made for a node with these taints.
#[track_caller]
fn check_fit(template: &str, taints: &str, fits: bool) {
    let change = format!("spec: {{{template}containers");
    let given = set("", STATUS) + &present() + &node("n1", &format!("taints: [{taints}]"));
    let caches = testing::caches(&given.replace("spec: {containers", &change));
    let plan = testing::plan_for(&caches, &CONTROLLER, "daemonsets a/log").to_string();
    assert_eq!(plan.contains("create pods"), fits, "{plan}");
    assert_eq!(plan.contains("\"desiredNumberScheduled\":0"), !fits, "{plan}");
}

#[test]
fn a_node_must_be_selected_and_its_taints_tolerated() {
    check_fit("nodeSelector: {disk: ssd}, ", "", true);
    check_fit("nodeSelector: {disk: hdd}, ", "", false);
    let affinity = |operator: &str| {
        let term = format!("{{matchExpressions: [{{key: disk, operator: {operator}, values: [ssd]}}]}}");
        let required = format!("requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{term}]}}");
        format!("affinity: {{nodeAffinity: {{{required}}}}}, ")
    };
    check_fit(&affinity("In"), "", true);
    check_fit(&affinity("NotIn"), "", false);
    check_fit("nodeName: n2, ", "", false);
    check_fit("", "{key: node-role.kubernetes.io/master, effect: NoSchedule}", false);
    let master = "tolerations: [{key: node-role.kubernetes.io/master, effect: NoSchedule}], ";
    check_fit(master, "{key: node-role.kubernetes.io/master, effect: NoSchedule}", true);
    check_fit("", "{key: soft, effect: PreferNoSchedule}", true);
    check_fit("", "{key: node.kubernetes.io/unreachable, effect: NoExecute}", true);
    check_fit("", "{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}", false);
    let network = "{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}";
    check_fit("hostNetwork: true, ", network, true);
}

#[test]
fn a_pod_stays_where_it_may_not_begin_unless_it_is_driven_out() {
    let given = |taint: &str| {
        let node = node("n1", &format!("taints: [{{key: busy, effect: {taint}}}]"));
        set("", STATUS) + &present() + &node + &pod("p", "n1", "new", "", READY)
    };
    check(
        &given("NoSchedule"),
        expect![[r#"
        patch daemonsets.apps/status a/log {"status":{"currentNumberScheduled":0,"desiredNumberScheduled":0,"numberAvailable":null,"numberMisscheduled":1,"numberReady":0,"updatedNumberScheduled":null}}
    "#]],
    );
    check(
        &given("NoExecute"),
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
        patch daemonsets.apps/status a/log {"status":{"currentNumberScheduled":0,"desiredNumberScheduled":0,"numberAvailable":null,"numberMisscheduled":1,"numberReady":0,"updatedNumberScheduled":null}}
    "#]],
    );
}

#[test]
fn one_pod_is_enough_and_the_oldest_stays() {
    let younger = pod("younger", "n1", "new", "", READY).replace("00:09:00Z", "00:09:30Z");
    let given = set("", STATUS) + &present() + &node("n1", "") + &younger + &pod("older", "n1", "new", "", READY);
    check(
        &given,
        expect![[r#"
        delete pods a/younger
          say Normal SuccessfulDelete on log: Deleted pod: younger
    "#]],
    );
}

#[test]
fn a_pod_that_ended_is_replaced_and_one_that_keeps_failing_later_and_later() {
    let given = |failures: &str| {
        let metadata = format!("annotations: {{kontiki.io/failed-daemon-pods: '{failures}'}}");
        set("", STATUS) + &present() + &node("n1", "") + &pod("p", "n1", "new", &metadata, "phase: Failed")
    };
    check(
        &given("0"),
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"} annotations={"kontiki.io/failed-daemon-pods":"1"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":null,"numberReady":0,"numberUnavailable":1}}
        say Warning FailedDaemonPod on log: Found failed daemon pod a/p on node n1, will try to kill it
    "#]],
    );
    // A minute has passed since it was created.
    check(
        &given("6"),
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"} annotations={"kontiki.io/failed-daemon-pods":"7"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":null,"numberReady":0,"numberUnavailable":1}}
        say Warning FailedDaemonPod on log: Found failed daemon pod a/p on node n1, will try to kill it
    "#]],
    );
    check(
        &given("7"),
        expect![[r#"
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":null,"numberReady":0,"numberUnavailable":1}}
        wake after 4s
    "#]],
    );
    let succeeded = pod("p", "n1", "new", "", "phase: Succeeded");
    check(
        &(set("", STATUS) + &present() + &node("n1", "") + &succeeded),
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":null,"numberReady":0,"numberUnavailable":1}}
        say Normal SucceededDaemonPod on log: Found succeeded daemon pod a/p on node n1, will try to delete it
    "#]],
    );
}

#[test]
fn a_pod_that_ended_and_leaves_is_not_waited_for() {
    let leaving = "deletionTimestamp: '2026-01-01T00:10:30Z'";
    let given = |status: &str| set("", STATUS) + &present() + &node("n1", "") + &pod("p", "n1", "new", leaving, status);
    check(
        &given("phase: Failed"),
        expect![[r#"
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        patch daemonsets.apps/status a/log {"status":{"currentNumberScheduled":0,"numberAvailable":null,"numberReady":0,"numberUnavailable":1,"updatedNumberScheduled":null}}
    "#]],
    );
    check(
        &given(UNREADY),
        expect![[r#"
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":null,"numberReady":0,"numberUnavailable":1}}
    "#]],
    );
}

#[test]
fn a_pod_for_a_node_that_is_gone_is_deleted() {
    let fields = "matchFields: [{key: metadata.name, operator: In, values: [gone]}]";
    let required = format!("requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{{fields}}}]}}");
    let tied = format!("spec: {{affinity: {{nodeAffinity: {{{required}}}}}}}");
    let waiting = pod("p", "x", "new", "", "phase: Pending").replace("spec: {nodeName: x}", &tied);
    check(
        &(set("", "observedGeneration: 1") + &present() + &waiting),
        expect![[r#"
        delete pods a/p
          say Normal SuccessfulDelete on log: Deleted pod: p
    "#]],
    );
}
