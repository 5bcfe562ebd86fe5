//! From start to end: exit codes, signals, logs, errors.

use std::{fs, time::Duration};

use node_agent::runtime::{ContainerSpec, ContainerState, Error, Event, Security, StartReason};

use crate::harness::{PATIENCE, node, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_writes_its_log_and_ends_with_its_code() {
    let Some(node) = node().await else { return };
    let mut events = node.runtime.events();
    node.pod("life").await;
    let mut spec = node.spec("main", &["env"]).await;
    spec.env = vec![("GREETING".to_owned(), "hello world".to_owned())];
    spec.working_dir = Some("/srv/data".to_owned());
    let (exit, output) = node.run("life", &spec).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed, exit.unknown), (0, None, false, false));
    assert!(exit.finished_at >= exit.started_at);
    for line in
        ["GREETING=hello world", "HOSTNAME=life-host", "DEMO_VERSION=1", "working directory: /srv/data", "HOME=/root"]
    {
        assert!(output.lines().any(|found| found == line), "no {line} in {output}");
    }
    let code = node.spec("code", &["exit", "7"]).await;
    assert_eq!(node.run("life", &code).await.0.code, 7);
    for (name, code) in [("main", 0), ("code", 7)] {
        match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            Event::ContainerExited { name: found, exit, .. } => assert_eq!((found.as_str(), exit.code), (name, code)),
            Event::SandboxLost { .. } => panic!("the pod is not lost"),
        }
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_kills_after_the_grace() {
    let Some(node) = node().await else { return };
    node.pod("stop").await;
    let polite = node.spec("polite", &["sleep", "600"]).await;
    let stubborn = node.spec("stubborn", &["ignore-term"]).await;
    let (first, second) = (node.start("stop", &polite).await.id, node.start("stop", &stubborn).await.id);
    node.wrote(&polite, "waiting").await;
    node.wrote(&stubborn, "waiting").await;
    assert!(matches!(node.runtime.remove_container("stop", &first).await, Err(Error::Running(_))));
    let exit = node.runtime.stop_container("stop", &first, PATIENCE).await.unwrap();
    assert_eq!((exit.code, exit.signal), (0, None));
    let begin = std::time::Instant::now();
    let exit = node.runtime.stop_container("stop", &second, Duration::from_millis(300)).await.unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    assert!(begin.elapsed() >= Duration::from_millis(300), "the grace was not given");
    assert_eq!(node.runtime.stop_container("stop", &second, PATIENCE).await.unwrap(), exit, "stopping twice is fine");
    for id in [&first, &second, &first] {
        node.runtime.remove_container("stop", id).await.unwrap();
    }
    assert!(node.runtime.pod("stop").unwrap().containers.is_empty());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let Some(node) = node().await else { return };
    node.pod("bad").await;
    let base = node.spec("bad", &[]).await;
    let with = |command: &[&str], security: Security| ContainerSpec {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        security,
        ..base.clone()
    };
    let non_root = Security { run_as_non_root: true, ..base.security.clone() };
    let cases = [
        (
            with(&["nothing"], base.security.clone()),
            StartReason::Run,
            "exec: \"nothing\": executable file not found in $PATH",
        ),
        (with(&["/no"], base.security.clone()), StartReason::Run, "exec: \"/no\": stat /no: no such file or directory"),
        (with(&["/etc/passwd"], base.security.clone()), StartReason::Run, "exec: \"/etc/passwd\": permission denied"),
        (with(&["/demo"], non_root), StartReason::Config, "container has runAsNonRoot and image will run as root"),
    ];
    for (spec, reason, message) in cases {
        match node.runtime.start_container("bad", spec).await {
            Err(Error::Start(error)) => assert_eq!((error.reason, error.message.as_str()), (reason, message)),
            other => panic!("{message}: {other:?}"),
        }
    }
    let mut missing = base.clone();
    missing.mounts.push(node_agent::runtime::Mount::new("/no/such/folder", "/data", false));
    let error = node.runtime.start_container("bad", missing).await.unwrap_err();
    assert_eq!(error.reason(), "CreateContainerError");
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    assert!(node.runtime.pod("bad").unwrap().containers.is_empty());
    assert_eq!(fs::read_dir(node.dir.path().join("state/containers")).unwrap().count(), 0);
    assert!(matches!(node.runtime.start_container("none", base).await, Err(Error::PodNotFound(_))));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_keep_every_byte_and_follow_a_rotation() {
    let Some(node) = node().await else { return };
    node.pod("logs").await;
    let (exit, output) = node.run("logs", &node.spec("much", &["spew", "1000000"]).await).await;
    assert_eq!(exit.code, 0);
    assert_eq!(output.bytes().filter(|byte| *byte == b'x').count(), 1_000_000);
    let spec = node.spec("long", &["serve"]).await;
    let id = node.start("logs", &spec).await.id;
    node.wrote(&spec, "listens on port").await;
    let rotated = spec.log_path.with_extension("log.1");
    fs::rename(&spec.log_path, &rotated).unwrap();
    node.runtime.reopen_log("logs", &id).await.unwrap();
    assert!(spec.log_path.exists());
    assert!(text(&fs::read_to_string(rotated).unwrap()).contains("pod logs-host"));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_twice_is_one_container() {
    let Some(node) = node().await else { return };
    node.pod("twice").await;
    let spec = node.spec("main", &["sleep", "600"]).await;
    let first = node.start("twice", &spec).await;
    let second = node.start("twice", &spec).await;
    assert!(matches!(first.state, ContainerState::Running { .. }));
    assert_eq!((first.id, first.state), (second.id, second.state));
    let spec = node_agent::runtime::SandboxSpec { uid: "twice".to_owned(), ..Default::default() };
    assert!(matches!(node.runtime.run_pod_sandbox(spec).await, Err(Error::PodExists(_))));
    node.finish().await;
}
