//! The main story: a Deployment from a real image, through everything a cluster lives through.

use std::collections::BTreeSet;

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
};
use nix::sys::signal::Signal;
use testing::eventually_blocking;

use crate::{
    machine::{pods_on, traces},
    program,
};

#[test]
fn three_masters_run_a_deployment_and_survive_the_loss_of_their_leader_in_a_rollout() {
    let cluster = Cluster::up(program(), &[]);
    let (tag, dir) = (cluster.tag(), cluster.dir());
    let kubectl = cluster.kubectl("kubectl");

    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=4");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let nodes: BTreeSet<String> = words(&kubectl, "get pods -l app=web -o jsonpath={.items[*].spec.nodeName}");
    assert_eq!(nodes, BTreeSet::from(["w1".to_owned(), "w2".to_owned()]), "pods are on both workers");
    let addresses = words(&kubectl, "get pods -l app=web -o jsonpath={.items[*].status.podIP}");
    assert_eq!(addresses.len(), 4, "every pod has an address of its own: {addresses:?}");
    for (master, _) in cluster.masters() {
        let logs = kubectl.against(&master).ok("logs deployment/web");
        assert!(logs.contains("listens on port"), "logs through {master}:\n{logs}");
    }
    let described = kubectl.ok("describe deployment web");
    assert!(described.contains("4 desired | 4 updated | 4 total | 4 available"), "{described}");
    let wide = kubectl.ok("get pods -o wide");
    assert!(wide.lines().next().is_some_and(|head| head.contains("NOMINATED NODE")), "{wide}");

    kubectl.ok("scale deployment web --replicas=6");
    kubectl.ok("rollout status deployment/web --timeout=60s");

    kubectl.ok("set image deployment/web demo=kontiki.io/demo:2");
    let leader = cluster.leader();
    cluster.signal(&leader, "server", Signal::SIGKILL);
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let images = words(&kubectl, "get pods -l app=web -o jsonpath={.items[*].spec.containers[0].image}");
    eventually_blocking(PATIENCE, || {
        let images = words(&kubectl, "get pods -l app=web -o jsonpath={.items[*].spec.containers[0].image}");
        if images == BTreeSet::from(["kontiki.io/demo:2".to_owned()]) { Ok(()) } else { Err(format!("{images:?}")) }
    });
    assert!(images.contains("kontiki.io/demo:2"), "{images:?}");

    cluster.kontiki("up", &[]);
    eventually_blocking(PATIENCE, || {
        let status = cluster.kontiki("status", &[]);
        let caught_up = status.lines().filter(|line| line.contains("follower") || line.contains("leader")).count() == 3;
        if caught_up { Ok(()) } else { Err(status) }
    });
    let seen = kubectl.against(&leader).ok("get deployment web -o jsonpath={.status.updatedReplicas}");
    assert_eq!(seen, "6", "the master that was killed has caught up");

    kubectl.ok("delete deployment web");
    eventually_blocking(PATIENCE, || {
        let left: Vec<String> = ["w1", "w2"].iter().flat_map(|host| pods_on(&cluster, host)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left on the workers: {left:?}")) }
    });

    cluster.kontiki("down", &[]);
    assert_eq!(traces(&tag, &dir), Vec::<String>::new());
}

#[test]
fn an_image_that_cannot_be_had_says_so_in_status_and_events() {
    let cluster = Cluster::up(program(), &["--single"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("run absent --image=127.0.0.1:1/no/such:image");
    eventually_blocking(PATIENCE, || {
        let reason = kubectl.ok("get pod absent -o jsonpath={.status.containerStatuses[0].state.waiting.reason}");
        if reason == "ErrImagePull" || reason == "ImagePullBackOff" { Ok(()) } else { Err(reason) }
    });
    eventually_blocking(PATIENCE, || {
        let events = kubectl.ok("get events -o jsonpath={.items[*].message}");
        if events.contains("127.0.0.1:1/no/such:image") { Ok(()) } else { Err(events) }
    });
}

#[test]
fn a_pod_talks_to_a_pod_on_the_other_worker_and_sees_nothing_of_its_host() {
    let cluster = Cluster::up(program(), &["--masters", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    for host in ["w1", "w2"] {
        let overrides = format!(r#"--overrides={{"spec":{{"nodeName":"{host}"}}}}"#);
        kubectl.ok(&format!("run on-{host} --image=kontiki.io/demo:1 {overrides}"));
    }
    kubectl.ok("wait --for=condition=Ready pod/on-w1 pod/on-w2 --timeout=60s");
    let target = kubectl.ok("get pod on-w2 -o jsonpath={.status.podIP}");
    let overrides = r#"--overrides={"spec":{"nodeName":"w1","restartPolicy":"Never"}}"#;
    kubectl.ok(&format!("run client --image=kontiki.io/demo:1 {overrides} -- get http://{target}:8080/hello"));
    eventually_blocking(PATIENCE, || {
        let phase = kubectl.ok("get pod client -o jsonpath={.status.phase}");
        if phase == "Succeeded" { Ok(()) } else { Err(phase) }
    });
    let logs = kubectl.ok("logs client");
    assert!(logs.contains("/hello") && logs.contains("on-w2"), "{logs}");
}

fn words(kubectl: &Kubectl, command: &str) -> BTreeSet<String> {
    kubectl.ok(command).split_whitespace().map(str::to_owned).collect()
}
