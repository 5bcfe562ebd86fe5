use serde_json::json;

use super::*;
use crate::pod::fixture::{World, at, deleted, exited, lost, pod, record, running, sandbox, single};
use crate::pod::memory::{ProbeState, Stop};
use crate::runtime::ContainerState;

fn actions(world: &World) -> Vec<Action> {
    plan(&world.view()).actions
}

fn start(name: &str, attempt: u32) -> Action {
    Action::Start { name: name.to_owned(), attempt }
}

fn ids(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::Terminate { id, .. } => format!("terminate {id}"),
            Action::Kill { id } => format!("kill {id}"),
            Action::RemoveContainer { id } => format!("remove {id}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn one_container_by_policy_and_exit() {
    for (policy, containers, expected) in [
        ("Always", vec![], vec![start("a", 0)]),
        ("Always", vec![running("a", 0)], vec![]),
        ("Always", vec![exited("a", 0, 0, 5)], vec![start("a", 1)]),
        ("OnFailure", vec![exited("a", 0, 0, 5)], vec![]),
        ("OnFailure", vec![exited("a", 0, 1, 5)], vec![start("a", 1)]),
        ("Never", vec![exited("a", 0, 1, 5)], vec![]),
    ] {
        let world = World::new(single(policy), Some(sandbox(containers.clone())));
        assert_eq!(actions(&world), expected, "{policy} {containers:?}");
    }
}

#[test]
fn without_a_sandbox_one_is_made_only_if_something_is_to_run() {
    let mut world = World::new(single("Always"), None);
    assert_eq!(actions(&world), [Action::CreateSandbox]);

    world.memory.sandbox_failure = Some(failure("FailedCreatePodSandBox", 10, 12));
    assert_eq!(plan(&world.view()), Plan { wake: Some(at(12)), ..Plan::default() });

    // A machine that restarted lost the pod's processes: they count as ended with 137.
    let ran = json!({ "containerStatuses": [{
        "name": "a", "image": "demo", "imageID": "", "ready": true, "restartCount": 3,
        "state": { "running": { "startedAt": at(0).to_string() } }
    }] });
    for (policy, expected) in [("Always", vec![Action::CreateSandbox]), ("Never", vec![])] {
        let mut world = World::new(single(policy), None);
        world.previous = serde_json::from_value(ran.clone()).unwrap();
        assert_eq!(actions(&world), expected, "{policy}");
    }
    let mut world = World::new(single("Always"), Some(sandbox(vec![])));
    world.previous = serde_json::from_value(ran).unwrap();
    assert_eq!(actions(&world), [start("a", 4)], "attempts count on over sandboxes");
}

#[test]
fn a_lost_sandbox_is_replaced() {
    let world = World::new(single("Always"), Some(lost(vec![exited("a", 0, 137, 5)])));
    assert_eq!(actions(&world), [Action::RemoveSandbox]);
    let world = World::new(single("Never"), Some(lost(vec![exited("a", 0, 137, 5)])));
    assert_eq!(actions(&world), []);
}

#[test]
fn restarts_back_off() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![exited("a", 1, 1, 5)])));
    world.memory.restarts.restarted("a", at(0), at(1));
    let plan = plan(&world.view());
    assert_eq!(plan.actions, []);
    assert_eq!(plan.wake, Some(at(15)));
    assert_eq!(plan.waiting["a"].reason, "CrashLoopBackOff");
    assert_eq!(plan.waiting["a"].message, "back-off 10s restarting failed container=a pod=web_shop(u1)");
    world.now = at(15);
    assert_eq!(actions(&world), [start("a", 2)]);
    assert_eq!(go_duration(SignedDuration::from_secs(160)), "2m40s");
}

#[test]
fn a_clock_that_was_set_makes_no_restart_wait_longer() {
    // By its shim's clock, which is an hour ahead, the container ends an hour from now.
    let mut world = World::new(single("Always"), Some(sandbox(vec![exited("a", 1, 1, 3600)])));
    assert_eq!(actions(&world), [start("a", 2)], "the first restart waits for nothing");
    world.memory.restarts.restarted("a", at(0), at(1));
    world.memory.ends.insert("a-1".to_owned(), at(8));
    assert_eq!(plan(&world.view()).wake, Some(at(18)));
}

#[test]
fn a_failed_pull_is_news_first_and_a_back_off_then() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![])));
    let mut failure = failure("ErrImagePull", 10, 20);
    failure.waiting = Some(("ImagePullBackOff".to_owned(), "Back-off pulling image".to_owned()));
    world.memory.failures.insert("a".to_owned(), failure);
    for (now, reason, wake) in [(10, "ErrImagePull", 12), (12, "ImagePullBackOff", 20)] {
        world.now = at(now);
        let plan = plan(&world.view());
        assert_eq!((plan.waiting["a"].reason.as_str(), plan.wake), (reason, Some(at(wake))), "at {now}");
    }
    world.now = at(20);
    assert_eq!(actions(&world), [start("a", 0)]);
}

fn failure(reason: &str, when: i64, retry: i64) -> Failure {
    let (reason, message) = (reason.to_owned(), "why".to_owned());
    Failure { reason, message, waiting: None, at: at(when), retry_at: at(retry) }
}

#[test]
fn init_containers_run_one_after_the_other() {
    let spec = |policy: &str| {
        json!({ "restartPolicy": policy, "containers": [{ "name": "a" }],
            "initContainers": [{ "name": "i1" }, { "name": "i2" }] })
    };
    for (policy, containers, expected) in [
        ("Always", vec![], vec![start("i1", 0)]),
        ("Always", vec![running("i1", 0)], vec![]),
        ("Always", vec![exited("i1", 0, 0, 5)], vec![start("i2", 0)]),
        ("Always", vec![exited("i1", 0, 1, 5)], vec![start("i1", 1)]),
        ("Never", vec![exited("i1", 0, 1, 5)], vec![]),
        ("Always", vec![exited("i1", 0, 0, 5), exited("i2", 0, 0, 6)], vec![start("a", 0)]),
        // Started once means initialized, whatever the runtime still remembers of the init containers.
        ("Always", vec![exited("a", 0, 1, 7)], vec![start("a", 1)]),
        ("Always", vec![exited("i2", 0, 0, 6)], vec![start("a", 0)]),
    ] {
        let world = World::new(pod(spec(policy)), Some(sandbox(containers.clone())));
        assert_eq!(actions(&world), expected, "{policy} {containers:?}");
    }
}

#[test]
fn sidecars_start_before_and_run_beside() {
    let spec = json!({ "restartPolicy": "Never", "containers": [{ "name": "a" }],
        "initContainers": [{ "name": "s", "restartPolicy": "Always" }] });
    let mut world = World::new(pod(spec), Some(sandbox(vec![])));
    assert_eq!(actions(&world), [start("s", 0)]);
    world.sandbox = Some(sandbox(vec![running("s", 0)]));
    assert_eq!(actions(&world), [], "its startup probe has not succeeded");
    world.memory.probes.insert("s-0".to_owned(), ProbeState { started: true, ready: false });
    assert_eq!(actions(&world), [start("a", 0)]);
    world.sandbox = Some(sandbox(vec![exited("s", 0, 1, 5), running("a", 0)]));
    assert_eq!(actions(&world), [start("s", 1)], "a sidecar restarts whatever the pod's policy is");
}

#[test]
fn an_unhealthy_container_is_stopped_within_its_grace() {
    let spec = json!({ "terminationGracePeriodSeconds": 7, "containers": [{ "name": "a" }] });
    let mut world = World::new(pod(spec), Some(sandbox(vec![running("a", 0)])));
    world.memory.unhealthy.insert("a-0".to_owned());
    assert_eq!(ids(&actions(&world)), ["terminate a-0"]);
    world.memory.stops.insert("a-0".to_owned(), Stop { signalled_at: at(10), killed_at: None });
    let plan = plan(&world.view());
    assert_eq!((plan.actions.len(), plan.wake), (0, Some(at(17))));
    world.now = at(17);
    assert_eq!(ids(&actions(&world)), ["kill a-0"]);
}

#[test]
fn deletion_signals_waits_kills_and_cleans_up() {
    let mut world = World::new(deleted(single("Always"), 5), Some(sandbox(vec![running("a", 0)])));
    world.memory.stopping_since = Some(at(10));
    assert_eq!(ids(&actions(&world)), ["terminate a-0"]);
    world.memory.stops.insert("a-0".to_owned(), Stop { signalled_at: at(10), killed_at: None });
    assert_eq!(plan(&world.view()), Plan { wake: Some(at(15)), ..Plan::default() });
    // A second, more impatient deletion moves the deadline.
    world.pod.metadata.deletion_grace_period_seconds = Some(1);
    assert_eq!(plan(&world.view()).wake, Some(at(11)));
    world.now = at(11);
    assert_eq!(ids(&actions(&world)), ["kill a-0"]);
    world.memory.stops.insert("a-0".to_owned(), Stop { signalled_at: at(10), killed_at: Some(at(11)) });
    assert_eq!(plan(&world.view()).wake, Some(at(13)), "a kill without effect is repeated");
    world.sandbox = Some(sandbox(vec![exited("a", 0, 137, 11)]));
    assert_eq!(actions(&world), [Action::TearDown]);
    world.sandbox = None;
    world.memory.torn_down = true;
    assert_eq!(actions(&world), [Action::DeleteObject]);
    world.gone = true;
    assert_eq!(actions(&world), []);
}

#[test]
fn sidecars_outlive_the_containers_they_serve() {
    let spec =
        json!({ "containers": [{ "name": "a" }], "initContainers": [{ "name": "s", "restartPolicy": "Always" }] });
    let mut world = World::new(deleted(pod(spec), 30), Some(sandbox(vec![running("a", 0), running("s", 0)])));
    assert_eq!(ids(&actions(&world)), ["terminate a-0"]);
    world.sandbox = Some(sandbox(vec![exited("a", 0, 0, 11), running("s", 0)]));
    assert_eq!(ids(&actions(&world)), ["terminate s-0"]);
}

#[test]
fn a_finished_pod_leaves_the_node_but_not_the_api() {
    let mut world = World::new(single("Never"), Some(sandbox(vec![exited("a", 0, 0, 5)])));
    world.previous.phase = Some("Succeeded".to_owned());
    assert_eq!(actions(&world), [Action::TearDown]);
    world.memory.torn_down = true;
    world.sandbox = None;
    assert_eq!(actions(&world), []);
}

#[test]
fn the_deadline_fails_the_pod() {
    let spec = json!({ "activeDeadlineSeconds": 20, "containers": [{ "name": "a" }] });
    let mut world = World::new(pod(spec), Some(sandbox(vec![running("a", 0)])));
    world.previous.start_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert_eq!(plan(&world.view()).wake, Some(at(20)));
    world.now = at(20);
    assert_eq!(plan(&world.view()).fail.unwrap().0, "DeadlineExceeded");
    world.memory.failed = Some(("DeadlineExceeded".to_owned(), String::new()));
    assert_eq!(ids(&actions(&world)), ["terminate a-0"]);
}

#[test]
fn old_records_are_forgotten_and_broken_ones_replaced() {
    let containers = vec![exited("a", 1, 1, 2), exited("a", 2, 1, 3), running("a", 3)];
    let world = World::new(single("Always"), Some(sandbox(containers)));
    assert_eq!(ids(&actions(&world)), ["remove a-1"]);
    let world = World::new(single("Always"), Some(sandbox(vec![record("a", 0, ContainerState::Created)])));
    assert_eq!(ids(&actions(&world))[0], "remove a-0");
}
