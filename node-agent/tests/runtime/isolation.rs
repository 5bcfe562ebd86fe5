//! What a container can see and do.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use node_agent::runtime::{ContainerState, Mount, Security};

use crate::harness::{node, status_field};

const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_node_or_of_other_pods_is_visible() {
    let Some(node) = node().await else { return };
    node.pod("one").await;
    node.pod("two").await;
    let other = node.spec("other", &["sleep", "600"]).await;
    node.start("two", &other).await;
    let (_, processes) = node.run("one", &node.spec("proc", &["ls", "/proc"]).await).await;
    let pids: Vec<_> = processes.lines().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    assert_eq!(pids, ["1"]);
    let (_, devices) = node.run("one", &node.spec("dev", &["ls", "/dev"]).await).await;
    let expect = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(devices.split_whitespace().collect::<Vec<_>>().join(" "), expect);
    let (_, root) = node.run("one", &node.spec("root", &["ls", "/"]).await).await;
    assert_eq!(root.split_whitespace().collect::<Vec<_>>(), ["demo", "dev", "etc", "proc", "sys", "tmp"]);
    let (_, mounts) = node.run("one", &node.spec("mounts", &["cat", "/proc/self/mountinfo"]).await).await;
    for line in mounts.lines() {
        let point = line.split(' ').nth(4).unwrap();
        let inside = point == "/" || ["/proc", "/dev", "/sys"].iter().any(|top| point.starts_with(top));
        assert!(inside, "{line}");
        assert!(!line.contains(" ext4 ") && !line.contains(" xfs "), "a disk shows through: {line}");
        assert!(!line.contains("shared:") && !line.contains("master:"), "tied to the node: {line}");
    }
    let (_, groups) = node.run("one", &node.spec("groups", &["cat", "/proc/self/cgroup"]).await).await;
    for line in groups.lines().filter(|line| line.contains("memory") || line.starts_with("0::")) {
        assert!(line.ends_with(":/"), "the group's place shows: {line}");
    }
    let there: Vec<_> = ["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"]
        .into_iter()
        .filter(|path| Path::new(path).exists())
        .collect();
    assert!(!there.is_empty());
    let words: Vec<_> = ["cat"].into_iter().chain(there).collect();
    let (exit, masked) = node.run("one", &node.spec("masked", &words).await).await;
    assert_eq!((exit.code, masked.as_str()), (0, ""));
    let (exit, text) = node.run("one", &node.spec("sysctl", &["write", "/proc/sys/kernel/hostname", "x"]).await).await;
    assert!(exit.code != 0 && text.contains("Read-only file system"), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_the_pods_own_and_shared_in_it() {
    let Some(node) = node().await else { return };
    node.pod("ns").await;
    let (a, b) = (node.spec("a", &["sleep", "600"]).await, node.spec("b", &["sleep", "600"]).await);
    let mut pids = Vec::new();
    for spec in [&a, &b] {
        match node.start("ns", spec).await.state {
            ContainerState::Running { pid, .. } => pids.push(pid),
            other => panic!("{other:?}"),
        }
    }
    let namespace = |pid: &str, kind: &str| fs::metadata(format!("/proc/{pid}/ns/{kind}")).unwrap().ino();
    let (first, second) = (pids[0].to_string(), pids[1].to_string());
    for kind in ["ipc", "uts"] {
        assert_eq!(namespace(&first, kind), namespace(&second, kind), "{kind} is the pod's");
        assert_ne!(namespace(&first, kind), namespace("self", kind), "{kind} is not the node's");
    }
    for kind in ["mnt", "pid", "cgroup"] {
        assert_ne!(namespace(&first, kind), namespace(&second, kind), "{kind} is each container's own");
    }
    let (exit, _) = node.run("ns", &node.spec("writes", &["write", "/dev/shm/note", "shared"]).await).await;
    assert_eq!(exit.code, 0);
    let (_, text) = node.run("ns", &node.spec("reads", &["cat", "/dev/shm/note"]).await).await;
    assert_eq!(text, "shared\n");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_are_what_the_pod_asks_for() {
    let Some(node) = node().await else { return };
    node.pod("caps").await;
    let run = async |name: &str, security: Security| {
        let spec = node_agent::runtime::ContainerSpec { security, ..node.spec(name, &["id"]).await };
        node.run("caps", &spec).await.1
    };
    let root = Security { run_as_user: Some(0), ..Security::default() };
    let check = |status: &str, fields: &[(&str, &str)]| {
        for (key, value) in fields {
            assert_eq!(status_field(status, key).split_whitespace().collect::<Vec<_>>().join(" "), *value, "{key}");
        }
    };
    let status = run("default", root.clone()).await;
    let caps = [("CapEff", DEFAULT_CAPABILITIES), ("CapBnd", DEFAULT_CAPABILITIES), ("CapInh", "0000000000000000")];
    check(&status, &caps);
    check(&status, &[("Seccomp", "2"), ("NoNewPrivs", "0"), ("Uid", "0 0 0 0"), ("Groups", "")]);
    check(
        &run("user", Security::default()).await,
        &[("Uid", "65532 65532 65532 65532"), ("CapEff", "0000000000000000")],
    );
    let drop_all = Security {
        add_capabilities: vec!["NET_BIND_SERVICE".to_owned()],
        drop_capabilities: vec!["ALL".to_owned()],
        allow_privilege_escalation: false,
        ..root.clone()
    };
    check(&run("drop", drop_all).await, &[("CapBnd", "0000000000000400"), ("NoNewPrivs", "1"), ("Seccomp", "2")]);
    let other = Security {
        run_as_user: Some(1000),
        run_as_group: Some(3000),
        supplemental_groups: vec![2000, 4000],
        ..Security::default()
    };
    check(&run("groups", other).await, &[("Gid", "3000 3000 3000 3000"), ("Groups", "2000 4000")]);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let privileged = run("privileged", Security { privileged: true, ..root }).await;
    check(&privileged, &[("CapEff", status_field(&own, "CapBnd")), ("Seccomp", "0")]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_file_systems_and_volumes_are_writable_where_they_should_be() {
    let Some(node) = node().await else { return };
    node.pod("files").await;
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let hosts = node.dir.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let write = async |name: &str, path: &str, read_only_root: bool| {
        let mut spec = node.spec(name, &["write", path, "text"]).await;
        spec.security.read_only_root = read_only_root;
        spec.mounts = vec![
            Mount::new(&volume, "/data/rw", false),
            Mount::new(&volume, "/data/ro", true),
            Mount::new(&hosts, "/etc/hosts", false),
        ];
        node.run("files", &spec).await
    };
    assert_eq!(write("a", "/file", false).await.0.code, 0);
    let (exit, text) = write("b", "/file", true).await;
    assert!(exit.code == 1 && text.contains("Read-only file system"), "{text}");
    assert_eq!(write("c", "/data/rw/file", true).await.0.code, 0);
    assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "text");
    assert!(write("d", "/data/ro/file", false).await.1.contains("Read-only file system"));
    assert_eq!(write("e", "/etc/hosts", true).await.0.code, 0);
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "text");
    let layer = node.images.get(crate::harness::DEMO).await.unwrap().unwrap().layers[0].clone();
    assert!(!layer.join("file").exists() && !layer.join("data").exists(), "the image is untouched");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_image_does_not_lead_a_mount_out() {
    let Some(node) = node().await else { return };
    node.pod("links").await;
    let outside = node.dir.path().join("outside");
    let volume = node.dir.path().join("volume");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("mark"), "here").unwrap();
    let mut spec = node.spec("link", &["cat", "/link/sub/mark"]).await;
    let mut image = (*spec.image).clone();
    let layer = node.dir.path().join("layer");
    fs::create_dir(&layer).unwrap();
    std::os::unix::fs::symlink(&outside, layer.join("link")).unwrap();
    image.layers.push(layer);
    spec.image = image.into();
    spec.mounts = vec![Mount::new(&volume, "/link/sub", true)];
    let (exit, text) = node.run("links", &spec).await;
    assert_eq!((exit.code, text.as_str()), (0, "here\n"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!Path::new(&outside).join("sub").exists());
    node.finish().await;
}
