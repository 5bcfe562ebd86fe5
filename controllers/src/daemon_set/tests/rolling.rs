//! From one template to the next.

use expect_test::{Expect, expect};

use super::{READY, ROLLING, UNREADY, check, node, pod, present, set};

const THREE: &str = "currentNumberScheduled: 3, desiredNumberScheduled: 3, numberReady: 3, numberAvailable: 3, \
    numberMisscheduled: 0, observedGeneration: 1";

#[track_caller]
fn check_three(spec: &str, pods: &str, expect: Expect) {
    let nodes = node("n1", "") + &node("n2", "") + &node("n3", "");
    check(&(set(spec, THREE) + &present() + &nodes + pods), expect);
}

fn three(first: &str, second: &str, third: &str) -> String {
    let one = |name: &str, node: &str, what: &str| {
        let (hash, status) = what.split_once(' ').unwrap();
        pod(name, node, hash, "", if status == "ready" { READY } else { UNREADY })
    };
    one("a", "n1", first) + &one("b", "n2", second) + &one("c", "n3", third)
}

#[test]
fn no_more_pods_are_taken_away_than_may_be_missing() {
    check_three(
        ROLLING,
        &three("old ready", "old ready", "old ready"),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
    "#]],
    );
    check_three(
        ROLLING,
        &three("new unready", "old ready", "old ready"),
        expect![[r#"
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":2,"numberReady":2,"numberUnavailable":1,"updatedNumberScheduled":1}}
    "#]],
    );
    check_three(
        ROLLING,
        &three("new ready", "old ready", "old ready"),
        expect![[r#"
        delete pods a/b
          say Normal SuccessfulDelete on log: Deleted pod: b
        patch daemonsets.apps/status a/log {"status":{"updatedNumberScheduled":1}}
    "#]],
    );
    let half = ROLLING.replace("maxUnavailable: 1", "maxUnavailable: 50%");
    check_three(
        &half,
        &three("old ready", "old ready", "old ready"),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
        delete pods a/b
          say Normal SuccessfulDelete on log: Deleted pod: b
    "#]],
    );
}

#[test]
fn an_old_pod_that_is_not_available_goes_in_any_case() {
    check_three(
        ROLLING,
        &three("new unready", "old unready", "old ready"),
        expect![[r#"
        delete pods a/b
          say Normal SuccessfulDelete on log: Deleted pod: b
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":1,"numberReady":1,"numberUnavailable":2,"updatedNumberScheduled":1}}
    "#]],
    );
}

#[test]
fn with_a_surge_the_new_pod_comes_before_the_old_one_goes() {
    let surge = ROLLING.replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1");
    check_three(
        &surge,
        &three("old ready", "old ready", "old ready"),
        expect![[r#"
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
    "#]],
    );
    let second = |status: &str| pod("a2", "n1", "new", "", status).replace("00:09:00Z", "00:09:30Z");
    check_three(
        &surge,
        &(three("old ready", "old ready", "old ready") + &second(UNREADY)),
        expect![[r#"
        nothing to do
    "#]],
    );
    check_three(
        &surge,
        &(three("old ready", "old ready", "old ready") + &second(READY)),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
    "#]],
    );
    check_three(
        &surge,
        &(three("old unready", "old ready", "old ready") + &second(UNREADY)),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":2,"numberReady":2,"numberUnavailable":1}}
    "#]],
    );
}

#[test]
fn an_old_pod_that_is_not_available_is_one_of_those_that_are_missing() {
    check_three(
        ROLLING,
        &three("old unready", "old ready", "old ready"),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":2,"numberReady":2,"numberUnavailable":1}}
    "#]],
    );
}

#[test]
fn with_a_surge_a_pod_on_its_way_out_holds_nobody_up() {
    let surge = ROLLING.replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1");
    let leaving = "deletionTimestamp: '2026-01-01T00:09:50Z', deletionGracePeriodSeconds: 30";
    let pods =
        pod("a", "n1", "new", leaving, READY) + &pod("b", "n2", "old", "", READY) + &pod("c", "n3", "old", "", READY);
    check_three(
        &surge,
        &pods,
        expect![[r#"
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        patch daemonsets.apps/status a/log {"status":{"updatedNumberScheduled":1}}
    "#]],
    );
}

#[test]
fn with_a_surge_no_pod_comes_where_none_would_be() {
    let surge = ROLLING.replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1");
    let tainted = node("n1", "taints: [{key: dedicated, effect: NoSchedule}]");
    let given = |pods: &str| set(&surge, THREE) + &present() + &tainted + &node("n2", "") + &node("n3", "") + pods;
    check(
        &given(&three("old ready", "old ready", "old ready")),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        patch daemonsets.apps/status a/log {"status":{"currentNumberScheduled":2,"desiredNumberScheduled":2,"numberAvailable":2,"numberMisscheduled":1,"numberReady":2}}
    "#]],
    );
    check(
        &given(&three("old unready", "new ready", "new ready")),
        expect![[r#"
        delete pods a/a
          say Normal SuccessfulDelete on log: Deleted pod: a
        patch daemonsets.apps/status a/log {"status":{"currentNumberScheduled":2,"desiredNumberScheduled":2,"numberAvailable":2,"numberMisscheduled":1,"numberReady":2,"updatedNumberScheduled":2}}
    "#]],
    );
}

#[test]
fn with_a_surge_a_new_pod_that_fails_comes_back_with_its_count() {
    let surge = ROLLING.replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1");
    let failed = pod("a2", "n1", "new", "", "phase: Failed").replace("00:09:00Z", "00:09:30Z");
    check_three(
        &surge,
        &(three("old ready", "old ready", "old ready") + &failed),
        expect![[r#"
        delete pods a/a2
          say Normal SuccessfulDelete on log: Deleted pod: a2
        create pods a/log-4w4q7 labels={"app":"log","controller-revision-hash":"new","pod-template-generation":"2"} annotations={"kontiki.io/failed-daemon-pods":"1"}
          say Normal SuccessfulCreate on log: Created pod: log-4w4q7
        say Warning FailedDaemonPod on log: Found failed daemon pod a/a2 on node n1, will try to kill it
    "#]],
    );
}

#[test]
fn a_new_pod_is_waited_for_until_it_is_available() {
    let spec = format!("minReadySeconds: 30, {ROLLING}");
    let young = pod("a", "n1", "new", "", &READY.replace("00:09:10", "00:09:50"));
    let old = |name: &str, node: &str| pod(name, node, "old", "", READY);
    check_three(
        &spec,
        &(young + &old("b", "n2") + &old("c", "n3")),
        expect![[r#"
        patch daemonsets.apps/status a/log {"status":{"numberAvailable":2,"numberUnavailable":1,"updatedNumberScheduled":1}}
        wake after 20s
    "#]],
    );
}

#[test]
fn on_delete_nothing_is_replaced_by_itself() {
    check_three(
        "updateStrategy: {type: OnDelete}",
        &three("old ready", "old ready", "old ready"),
        expect![[r#"
        nothing to do
    "#]],
    );
}
