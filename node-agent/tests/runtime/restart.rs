//! The agent goes and comes back; the shim goes and does not.

use std::fs;

use node_agent::runtime::{ContainerState, Event, SandboxState};

use crate::harness::{PATIENCE, node};

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_the_agent_and_their_ends_are_not_missed() {
    let Some(mut node) = node().await else { return };
    node.pod("keep").await;
    let mut spec = node.spec("stays", &["sleep", "600"]).await;
    spec.labels.insert("mark".to_owned(), "7".to_owned());
    let before = node.start("keep", &spec).await;
    let ends = node.spec("ends", &["exit", "3"]).await;
    node.start("keep", &ends).await;
    // It ends with or without the agent watching.
    node.restart().await;
    assert_eq!(node.exit("keep", "ends").await.code, 3);
    let pod = node.runtime.pod("keep").unwrap();
    assert_eq!((pod.state, pod.spec.hostname.as_str()), (SandboxState::Ready, "keep-host"));
    let after = pod.containers.iter().find(|container| container.name == "stays").unwrap();
    assert_eq!((&after.id, &after.state, &after.labels), (&before.id, &before.state, &before.labels));
    let exit = node.runtime.stop_container("keep", &before.id, PATIENCE).await.unwrap();
    assert_eq!(exit.code, 0);
    node.restart().await;
    assert_eq!(node.exit("keep", "ends").await.code, 3);
    assert_eq!(node.exit("keep", "stays").await, exit);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_shim_takes_its_pod_with_it() {
    let Some(mut node) = node().await else { return };
    node.pod("lost").await;
    let spec = node.spec("main", &["sleep", "600"]).await;
    let pid = match node.start("lost", &spec).await.state {
        ContainerState::Running { pid, .. } => pid,
        other => panic!("{other:?}"),
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim = crate::harness::status_field(&status, "PPid").parse().unwrap();
    let mut events = node.runtime.events();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut lost = false;
    while !lost {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        lost = event == Event::SandboxLost { pod_uid: "lost".to_owned() };
    }
    let exit = node.exit("lost", "main").await;
    assert!(exit.unknown && exit.code == 137, "{exit:?}");
    assert_eq!(node.runtime.pod("lost").unwrap().state, SandboxState::Lost);
    testing::eventually(PATIENCE, async || {
        if fs::exists(format!("/proc/{pid}")).unwrap() { Err("the container runs on") } else { Ok(()) }
    })
    .await;
    node.restart().await;
    assert_eq!(node.runtime.pod("lost").unwrap().state, SandboxState::Lost);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_made_things_are_cleared_at_start() {
    let Some(mut node) = node().await else { return };
    fs::create_dir_all(node.dir.path().join("run/pods/half/shm")).unwrap();
    fs::create_dir_all(node.dir.path().join("state/containers/orphan/upper")).unwrap();
    node.restart().await;
    assert!(node.runtime.pods().is_empty());
    node.finish().await;
}
