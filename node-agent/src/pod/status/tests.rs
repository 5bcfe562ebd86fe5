use serde_json::json;

use super::*;
use crate::pod::fixture::{World, at, deleted, exited, lost, pod, running, sandbox, single};
use crate::pod::memory::{Failure, ProbeState};
use crate::pod::plan;

fn around() -> Surroundings {
    Surroundings { host_ip: "192.168.0.1".parse().unwrap(), pod_ips: vec!["10.244.0.5".parse().unwrap()] }
}

fn said(world: &World) -> PodStatus {
    let view = world.view();
    status(&view, &plan::plan(&view), &around())
}

fn conditions(status: &PodStatus) -> Vec<String> {
    let all = status.conditions.iter().flatten();
    all.filter(|condition| condition.status == "True").map(|condition| condition.type_.clone()).collect()
}

/// State and last state of the first container in short.
fn states(status: &PodStatus) -> (String, String) {
    let brief = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        let Some(state) = state else { return "-".to_owned() };
        if let Some(waiting) = &state.waiting {
            return waiting.reason.clone().unwrap_or_default();
        }
        if let Some(ended) = &state.terminated {
            return format!("{} {}", ended.reason.as_deref().unwrap_or_default(), ended.exit_code);
        }
        "Running".to_owned()
    };
    let first = &status.container_statuses.as_ref().unwrap()[0];
    (brief(first.state.as_ref()), brief(first.last_state.as_ref()))
}

#[test]
fn phase_and_state_of_one_container() {
    for (policy, containers, phase, state) in [
        ("Always", vec![], "Pending", "ContainerCreating"),
        ("Always", vec![running("a", 0)], "Running", "Running"),
        ("Always", vec![exited("a", 0, 0, 5)], "Running", "Completed 0"),
        ("OnFailure", vec![exited("a", 0, 0, 5)], "Succeeded", "Completed 0"),
        ("OnFailure", vec![exited("a", 0, 3, 5)], "Running", "Error 3"),
        ("Never", vec![exited("a", 0, 3, 5)], "Failed", "Error 3"),
    ] {
        let world = World::new(single(policy), Some(sandbox(containers)));
        let status = said(&world);
        assert_eq!((status.phase.as_deref(), states(&status).0.as_str()), (Some(phase), state), "{policy}");
    }
}

#[test]
fn a_running_pod_is_ready_with_its_addresses() {
    let status = said(&World::new(single("Always"), Some(sandbox(vec![running("a", 2)]))));
    assert_eq!(
        conditions(&status),
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    );
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.5"));
    assert_eq!(status.host_ip.as_deref(), Some("192.168.0.1"));
    assert_eq!(status.observed_generation, Some(1));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("kontiki://a-2"));
    assert_eq!((container.restart_count, container.ready, container.started), (2, true, Some(true)));
}

#[test]
fn readiness_follows_the_probes() {
    let spec = json!({ "containers": [{ "name": "a", "readinessProbe": { "tcpSocket": { "port": 1 } } }] });
    let mut world = World::new(pod(spec), Some(sandbox(vec![running("a", 0)])));
    world.memory.probes.insert("a-0".to_owned(), ProbeState { started: true, ready: false });
    let status = said(&world);
    assert!(!conditions(&status).contains(&"Ready".to_owned()));
    let ready = status.conditions.as_ref().unwrap().iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.message.as_deref(), Some("containers with unready status: [a]"));
    world.memory.probes.insert("a-0".to_owned(), ProbeState { started: true, ready: true });
    assert!(conditions(&said(&world)).contains(&"Ready".to_owned()));
}

#[test]
fn a_crash_loop_shows_why() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![exited("a", 1, 1, 5)])));
    world.memory.restarts.restarted("a", at(0), at(1));
    let status = said(&world);
    assert_eq!(states(&status), ("CrashLoopBackOff".to_owned(), "Error 1".to_owned()));
    assert_eq!(status.phase.as_deref(), Some("Running"));
    // The runtime forgets; what was said stays.
    world.previous = status;
    world.sandbox = Some(sandbox(vec![exited("a", 1, 1, 5), running("a", 2)]));
    assert_eq!(states(&said(&world)), ("Running".to_owned(), "Error 1".to_owned()));
}

#[test]
fn a_missing_image_keeps_the_pod_pending() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![])));
    let failure = Failure {
        reason: "ErrImagePull".to_owned(),
        message: "not found".to_owned(),
        waiting: None,
        at: at(10),
        retry_at: at(20),
    };
    world.memory.failures.insert("a".to_owned(), failure);
    let status = said(&world);
    assert_eq!((status.phase.as_deref(), states(&status).0.as_str()), (Some("Pending"), "ErrImagePull"));
}

#[test]
fn init_containers_hold_the_others_back() {
    let spec =
        json!({ "restartPolicy": "Never", "containers": [{ "name": "a" }], "initContainers": [{ "name": "i" }] });
    let mut world = World::new(pod(spec), Some(sandbox(vec![running("i", 0)])));
    let status = said(&world);
    assert_eq!((status.phase.as_deref(), states(&status).0.as_str()), (Some("Pending"), "PodInitializing"));
    assert!(!conditions(&status).contains(&"Initialized".to_owned()));
    world.sandbox = Some(sandbox(vec![exited("i", 0, 1, 5)]));
    assert_eq!(said(&world).phase.as_deref(), Some("Failed"));
    world.sandbox = Some(sandbox(vec![exited("i", 0, 0, 5), running("a", 0)]));
    assert_eq!(conditions(&said(&world)).len(), 5);
}

#[test]
fn the_last_word_is_final() {
    let mut world = World::new(deleted(single("Always"), 30), Some(sandbox(vec![exited("a", 0, 0, 5)])));
    assert_eq!(said(&world).phase.as_deref(), Some("Succeeded"), "nothing restarts it any more");
    world.sandbox = Some(sandbox(vec![exited("a", 0, 143, 5)]));
    let last = said(&world);
    assert_eq!((last.phase.as_deref(), states(&last).0.as_str()), (Some("Failed"), "Error 143"));
    world.previous = last.clone();
    world.sandbox = None;
    world.now = at(100);
    assert_eq!(said(&world), last, "what the runtime forgets changes nothing");
}

#[test]
fn a_pod_deleted_before_it_ran_is_said_to_be_lost() {
    let mut world = World::new(deleted(single("Always"), 30), None);
    world.memory.stopping_since = Some(at(10));
    let status = said(&world);
    assert_eq!((status.phase.as_deref(), states(&status).0.as_str()), (Some("Failed"), "ContainerStatusUnknown 137"));
}

#[test]
fn processes_that_went_with_their_sandbox_are_remembered() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![running("a", 0)])));
    world.previous = said(&world);
    world.sandbox = None;
    let status = said(&world);
    assert_eq!(states(&status), ("ContainerCreating".to_owned(), "ContainerStatusUnknown 137".to_owned()));
    world.sandbox = Some(lost(vec![exited("a", 0, 137, 5)]));
    assert_eq!(states(&said(&world)).0, "Error 137");
}

#[test]
fn transitions_keep_their_time_and_strangers_their_conditions() {
    let mut world = World::new(single("Always"), Some(sandbox(vec![running("a", 0)])));
    let foreign = json!({ "conditions": [{ "type": "example.com/gate", "status": "True" }] });
    world.previous = serde_json::from_value(foreign).unwrap();
    let first = said(&world);
    assert_eq!(first.conditions.as_ref().unwrap()[0].type_, "example.com/gate");
    world.previous = first.clone();
    world.now = at(500);
    assert_eq!(said(&world), first);
    assert_eq!(patch("u1", &first, &said(&world)), None);
}

#[test]
fn others_have_their_say() {
    let status = |conditions: serde_json::Value, node: &str| -> PodStatus {
        serde_json::from_value(json!({ "conditions": conditions, "nominatedNodeName": node })).unwrap()
    };
    let mut own = status(json!([{ "type": "Ready", "status": "True" }, { "type": "x/old", "status": "True" }]), "");
    let api = status(json!([{ "type": "Ready", "status": "False" }, { "type": "x/new", "status": "True" }]), "n2");
    adopt_foreign(&mut own, &api);
    let types: Vec<_> = own.conditions.iter().flatten().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
    assert_eq!(types, [("Ready", "True"), ("x/new", "True")]);
    let patch = patch("u1", &api, &own).unwrap();
    assert_eq!(patch["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
}

#[test]
fn patches_carry_changes_and_removals() {
    let old: PodStatus = serde_json::from_value(json!({ "phase": "Pending", "reason": "X" })).unwrap();
    let new: PodStatus = serde_json::from_value(json!({ "phase": "Running" })).unwrap();
    let expected = json!({ "metadata": { "uid": "u1" }, "status": { "phase": "Running", "reason": null } });
    assert_eq!(patch("u1", &old, &new), Some(expected));
}
