//! Further programs in a container, and clients at its own streams.

use std::time::Duration;

use node_agent::runtime::{Error, Exec, ExecSpec, Security, StartReason, Stream};

use crate::harness::{Node, PATIENCE, node, status_field};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn read_all(stream: &Stream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap()
}

async fn read_until(stream: &Stream, word: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(word) {
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect(&text).unwrap();
        assert!(count > 0, "ended without {word:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

impl Node {
    async fn ran(&self, id: &str, program: &[&str]) -> (Option<i32>, String) {
        let ran = self.runtime.exec_sync("pod", id, words(program), PATIENCE).await.unwrap();
        (ran.code, ran.output)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_within_the_bounds_of_its_container() {
    let Some(node) = node().await else { return };
    node.pod("pod").await;
    let mut spec = node.spec("a", &["sleep", "60"]).await;
    spec.env = vec![("COLOR".to_owned(), "blue".to_owned())];
    spec.working_dir = Some("/tmp".to_owned());
    spec.security = Security {
        run_as_user: Some(1234),
        run_as_group: Some(77),
        supplemental_groups: vec![88],
        allow_privilege_escalation: false,
        drop_capabilities: vec!["NET_RAW".to_owned()],
        ..Security::default()
    };
    let id = node.start("pod", &spec).await.id;
    node.wrote(&spec, "waiting").await;

    let (code, env) = node.ran(&id, &["/demo", "env"]).await;
    assert_eq!(code, Some(0));
    assert!(env.contains("COLOR=blue\n") && env.contains("working directory: /tmp\n"), "{env}");
    let (_, status) = node.ran(&id, &["/demo", "id"]).await;
    let (_, own) = node.ran(&id, &["/demo", "cat", "/proc/1/status"]).await;
    for key in ["Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(status_field(&status, key), status_field(&own, key), "{key}");
    }
    // Process 1 is the container's own; nothing of the node is in sight.
    let (_, processes) = node.ran(&id, &["/demo", "ls", "/proc"]).await;
    let count = processes.lines().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).count();
    assert_eq!(count, 2, "{processes}");
    let (_, files) = node.ran(&id, &["/demo", "ls", "/proc/self/fd"]).await;
    assert_eq!(files.lines().count(), 4, "three streams and the folder itself: {files}");
    let (_, group) = node.ran(&id, &["/demo", "cat", "/proc/self/cgroup"]).await;
    assert!(group.lines().all(|line| line.ends_with(":/")), "{group}");
    let (_, root) = node.ran(&id, &["/demo", "ls", "/"]).await;
    assert!(root.contains("demo") && !root.contains("boot"), "{root}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_end_as_they_end() {
    let Some(node) = node().await else { return };
    node.pod("pod").await;
    let spec = node.spec("a", &["sleep", "60"]).await;
    let id = node.start("pod", &spec).await.id;
    assert_eq!(node.ran(&id, &["/demo", "exit", "3"]).await.0, Some(3));
    let slow = node.runtime.exec_sync("pod", &id, words(&["/demo", "sleep", "60"]), Duration::from_millis(300)).await;
    assert_eq!(slow.unwrap().code, None, "it took too long");
    let Err(Error::Start(error)) = node.runtime.exec_sync("pod", &id, words(&["none"]), PATIENCE).await else {
        panic!("a program that is not there");
    };
    assert_eq!(error.reason, StartReason::Run);
    assert_eq!(error.message, "exec: \"none\": executable file not found in $PATH");

    // With its container a program ends too.
    let spec = ExecSpec { args: words(&["/demo", "sleep", "60"]), stdout: true, ..ExecSpec::default() };
    let running = node.runtime.exec("pod", &id, spec.clone()).await.unwrap();
    node.runtime.stop_container("pod", &id, Duration::ZERO).await.unwrap();
    assert_eq!(running.exit.await, Ok(137));
    let gone = node.runtime.exec("pod", &id, spec).await.unwrap_err();
    assert!(matches!(gone, Error::ContainerNotFound(_)), "{gone}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_and_a_client_that_leaves_hangs_up() {
    let Some(mut node) = node().await else { return };
    node.pod("pod").await;
    let spec = node.spec("a", &["sleep", "60"]).await;
    let id = node.start("pod", &spec).await.id;
    let cat = || ExecSpec { args: words(&["/demo", "cat"]), stdin: true, stdout: true, ..ExecSpec::default() };
    let Exec { stdin, stdout, exit, .. } = node.runtime.exec("pod", &id, cat()).await.unwrap();
    let (stdin, stdout) = (stdin.unwrap(), stdout.unwrap());
    let sent = "0123456789abcdef".repeat(20_000);
    let expected = sent.clone();
    let writing = tokio::spawn(async move { stdin.write_all(sent.as_bytes()).await.unwrap() });
    assert!(read_all(&stdout).await == expected);
    writing.await.unwrap();
    assert_eq!(exit.await, Ok(0), "the end of its input ended it");

    let Exec { stdin, stdout, exit, .. } = node.runtime.exec("pod", &id, cat()).await.unwrap();
    drop((stdin, stdout));
    assert_eq!(exit.await, Ok(0));
    // So too when the agent restarts; and the next one's programs are not taken for the old one's.
    let held = node.runtime.exec("pod", &id, cat()).await.unwrap();
    node.restart().await;
    drop(held);
    assert_eq!(node.ran(&id, &["/demo", "exit", "4"]).await.0, Some(4));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_echoes_has_a_size_and_hangs_up() {
    let Some(node) = node().await else { return };
    node.pod("pod").await;
    let spec = node.spec("a", &["sleep", "60"]).await;
    let id = node.start("pod", &spec).await.id;
    let spec = |args: &[&str]| {
        let args = words(args);
        ExecSpec { args, stdin: true, stdout: true, terminal: true, ..ExecSpec::default() }
    };
    let program = node.runtime.exec("pod", &id, spec(&["/demo", "cat"])).await.unwrap();
    let (stdin, stdout, terminal) = (program.stdin.unwrap(), program.stdout.unwrap(), program.terminal.unwrap());
    terminal.resize(132, 43).unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    read_until(&stdout, "hello\r\nhello\r\n").await;
    let (_, links) = node.ran(&id, &["/demo", "ls", "/dev/pts"]).await;
    assert!(links.contains("0\n"), "the container's own terminals: {links}");
    // One that reads is woken by the end of its terminal a moment before the signal comes, and may end by itself.
    drop((stdin, stdout, terminal));
    program.exit.await.unwrap();
    let Exec { stdin, stdout, terminal, exit, .. } =
        node.runtime.exec("pod", &id, spec(&["/demo", "sleep", "60"])).await.unwrap();
    drop((stdin, stdout, terminal));
    // The signal ends it, or the end of its terminal while it starts: long before its time, and not as if all were well.
    assert_ne!(exit.await, Ok(0));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_attach_to_the_containers_own_streams() {
    let Some(node) = node().await else { return };
    node.pod("pod").await;
    let mut spec = node.spec("a", &["cat"]).await;
    spec.stdin = true;
    let id = node.start("pod", &spec).await.id;
    let first = node.runtime.attach("pod", &id, true, true, true).await.unwrap();
    let second = node.runtime.attach("pod", &id, true, true, false).await.unwrap();
    assert!(!first.terminal);
    first.stdin.as_ref().unwrap().write_all(b"to all\n").await.unwrap();
    for client in [&first, &second] {
        read_until(client.stdout.as_ref().unwrap(), "to all\n").await;
    }
    // A client that leaves is no end of the input; the next one goes on.
    drop(first);
    let input = second.stdin.as_ref().unwrap();
    input.write_all(b"again\n").await.unwrap();
    read_until(second.stdout.as_ref().unwrap(), "again\n").await;
    node.wrote(&spec, "again").await;
    // A client that does not read holds the container up, and nothing is lost.
    let long = "x".repeat(100) + "\n";
    let sent = long.repeat(20_000);
    let writing = {
        let (input, sent) = (input.clone(), sent.clone());
        tokio::spawn(async move { input.write_all(sent.as_bytes()).await.unwrap() })
    };
    let late = read_until(second.stdout.as_ref().unwrap(), &sent).await;
    assert_eq!(late.len(), sent.len());
    writing.await.unwrap();
    node.runtime.close_stdin("pod", &id).await.unwrap();
    let output = second.stdout.clone().unwrap();
    drop(second);
    assert_eq!(node.exit("pod", "a").await.code, 0, "its input has ended");
    assert_eq!(read_all(&output).await, "");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_have_a_terminal_of_its_own() {
    let Some(node) = node().await else { return };
    node.pod("pod").await;
    let mut spec = node.spec("a", &["cat"]).await;
    (spec.stdin, spec.terminal) = (true, true);
    spec.security.run_as_user = Some(1234);
    let id = node.start("pod", &spec).await.id;
    let client = node.runtime.attach("pod", &id, true, true, false).await.unwrap();
    assert!(client.terminal);
    let (stdin, stdout) = (client.stdin.unwrap(), client.stdout.unwrap());
    stdin.resize(132, 43).unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    read_until(&stdout, "hello\r\nhello\r\n").await;
    // The end of input, as one types it.
    stdin.write_all(&[4]).await.unwrap();
    assert_eq!(node.exit("pod", "a").await.code, 0);
    assert_eq!(read_all(&stdout).await, "");
    node.wrote(&spec, "hello").await;
    node.finish().await;
}
