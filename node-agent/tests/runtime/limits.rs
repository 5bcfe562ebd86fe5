//! Memory, processes, CPU, devices.

use node_agent::runtime::{Resources, Security};

use crate::harness::{PATIENCE, node};

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory_ends_with_an_oom_kill() {
    let Some(node) = node().await else { return };
    node.pod("oom").await;
    let mut spec = node.spec("hungry", &["alloc", "256"]).await;
    spec.resources = Resources { memory_limit: Some(32 << 20), ..Resources::default() };
    let (exit, _) = node.run("oom", &spec).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), true));
    let mut spec = node.spec("modest", &["alloc", "8"]).await;
    spec.resources = Resources { memory_limit: Some(64 << 20), ..Resources::default() };
    let (exit, text) = node.run("oom", &spec).await;
    assert_eq!((exit.code, exit.oom_killed, text.as_str()), (0, false, "8\n"));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_processes_are_refused() {
    let Some(node) = node().await else { return };
    node.pod("pids").await;
    let mut spec = node.spec("many", &["fork", "20"]).await;
    spec.resources = Resources { pids_limit: Some(6), ..Resources::default() };
    let (exit, text) = node.run("pids", &spec).await;
    assert_eq!(exit.code, 0);
    assert!(text.contains("Resource temporarily unavailable") && text.contains("5 children"), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn use_is_measured_per_container_and_pod() {
    let Some(node) = node().await else { return };
    node.pod("stats").await;
    let mut spec = node.spec("busy", &["spin", "600"]).await;
    spec.resources = Resources { cpu_limit: Some(200), cpu_request: Some(100), ..Resources::default() };
    let id = node.start("stats", &spec).await.id;
    testing::eventually(PATIENCE, async || {
        let container = node.runtime.container_stats("stats", &id).await.unwrap();
        let pod = node.runtime.pod_stats("stats").await.unwrap();
        let measured = container.cpu_nanos > 50_000_000 && container.memory_usage > 0 && container.pids == 1;
        let whole = pod.cpu_nanos >= container.cpu_nanos && pod.pids == 2;
        if measured && whole { Ok(()) } else { Err(format!("{container:?} {pod:?}")) }
    })
    .await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_the_node_cannot_be_opened_even_when_made() {
    let Some(node) = node().await else { return };
    node.pod("devices").await;
    // The device group decides, whatever capabilities there are; /dev/zero shows that harmless ones work.
    let security = Security { add_capabilities: vec!["SYS_ADMIN".to_owned()], ..node.spec("x", &[]).await.security };
    let mut spec = node.spec("mem", &["cat", "/made/mem"]).await;
    spec.security = security;
    let mut image = (*spec.image).clone();
    let layer = node.dir.path().join("layer");
    std::fs::create_dir_all(layer.join("made")).unwrap();
    let (kind, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::from_bits_truncate(0o666));
    for (name, minor) in [("mem", 1), ("null", 3)] {
        nix::sys::stat::mknod(&layer.join("made").join(name), kind, mode, nix::sys::stat::makedev(1, minor)).unwrap();
    }
    image.layers.push(layer);
    spec.image = image.into();
    let (exit, text) = node.run("devices", &spec).await;
    assert!(exit.code == 1 && text.contains("Operation not permitted"), "{text}");
    spec.name = "null".to_owned();
    spec.log_path = node.dir.path().join("log/null/0.log");
    spec.args = vec!["cat".to_owned(), "/made/null".to_owned()];
    assert_eq!(node.run("devices", &spec).await.0.code, 0);
    node.finish().await;
}
