//! A cluster is upgraded process by process, under writers and watchers, and nobody loses anything by it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use chaos_tests::{Cluster, command::run};

use crate::{chaos_command::is_whole, program};

/// Says that it is a kontiki, and cannot do a kontiki's work.
const BROKEN: &str = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo kontiki 9.9.9; else exit 3; fi\n";

#[test]
fn a_rolling_upgrade_loses_no_write_and_touches_no_pod_and_one_that_fails_is_undone() {
    let cluster = Cluster::up(program(), &["--workers", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=2");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let which =
        "{.items[*].status.containerStatuses[0].containerID}{.items[*].status.containerStatuses[0].restartCount}";
    let containers = || kubectl.ok(&format!("get pods -l app=web -o jsonpath={which}"));
    let before = containers();
    assert!(before.ends_with("0 0"), "{before}");
    let hosts = [("m1", "server"), ("m2", "server"), ("m3", "server"), ("w1", "agent")];
    let files = || hosts.map(|(host, role)| file_of(&cluster, host, role));
    let old = files();
    let upgrade = |to: &Path| {
        let faults = ["run", "--seed", "3", "--for", "6s", "--interval", "500ms", "--faults", "rolling-upgrade"];
        run(cluster.chaos(&faults).arg("--upgrade-to").arg(to))
    };

    let broken = cluster.dir().join("broken");
    fs::write(&broken, BROKEN).expect("a script");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).expect("it can be run");
    let said = upgrade(&broken);
    assert!(!said.success && said.out.contains("is not upgraded: it "), "{}", said.all());
    assert!(said.out.contains("0 of "), "the rest is judged as well:\n{}", said.all());
    is_whole(&cluster);
    assert_eq!(files(), old);

    let new = cluster.dir().join("kontiki-new");
    fs::copy(program(), &new).expect("another file");
    let said = upgrade(&new);
    eprintln!("{}", said.out);
    assert!(said.success, "{}", said.all());
    assert!(said.out.contains(&format!(", w1 run {}", new.display())), "{}", said.all());
    assert_eq!(containers(), before);
    is_whole(&cluster);
    assert_eq!(files(), hosts.map(|_| new.clone()));

    // What is started again stays upgraded.
    assert!(run(&mut cluster.chaos(&["kill", "m2"])).success);
    assert!(run(&mut cluster.chaos(&["heal"])).success);
    is_whole(&cluster);
    assert_eq!(files(), hosts.map(|_| new.clone()));
}

/// The file that a process runs.
fn file_of(cluster: &Cluster, host: &str, role: &str) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", cluster.pid(host, role))).expect("it runs")
}
