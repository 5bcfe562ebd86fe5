//! A master that is short of descriptors, of memory, or of writes to its disk: the cluster goes on, and so does it, afterwards.

use std::{fs, path::PathBuf, process::Command};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{Said, run},
};
use nix::sys::signal::{Signal, kill};
use testing::eventually_blocking;

use crate::{
    chaos_command::{guard_of, is_whole, refused},
    program,
};

/// Two ports look again each 50 ms for longer than the fault lasts.
const COMPLAINTS_MAX: usize = 200;

#[test]
fn a_master_that_is_short_of_descriptors_memory_or_writes_costs_nothing() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let limit = limits(&cluster);
    let faults = ["--faults", "limit-descriptors,limit-memory,slow-disk", "--interval", "500ms"];
    let said = run(cluster.chaos(&["run", "--seed", "2", "--for", "12s"]).args(faults));

    eprintln!("{}", said.out);
    assert!(said.success, "{}", said.all());
    for proof in
        [" descriptors left, up to ", "ended by the kernel for want of memory", " flushes of the log took long"]
    {
        assert!(said.out.contains(proof), "{proof}: {}", said.all());
    }
    let complaints = cluster.said("cannot accept a connection").len();
    assert!((1..COMPLAINTS_MAX).contains(&complaints), "{complaints} complaints: it has to wait between two attempts");
    nothing_is_short(&cluster, &limit);

    // Somebody else undoes what a run could not: its guard, or the next command.
    let chaos = |fault: &str| {
        let flags = ["run", "--faults", fault, "--for", "120s", "--interval", "100ms"];
        cluster.chaos(&flags).stdout(std::process::Stdio::null()).spawn().expect("it starts")
    };
    let mut run_of = chaos("limit-descriptors");
    eventually_blocking(PATIENCE, || if limits(&cluster) == limit { Err("no limit is lowered") } else { Ok(()) });
    kill(guard_of(run_of.id()), Signal::SIGKILL).expect("the guard is killed");
    run_of.kill().expect("it is killed");
    run_of.wait().expect("it has ended");
    assert_ne!(limits(&cluster), limit);
    let healed = run(&mut cluster.chaos(&["heal"]));
    assert!(healed.success && healed.out.contains(" files"), "{}", healed.all());
    nothing_is_short(&cluster, &limit);

    let mut run_of = chaos("slow-disk");
    let group = groups(&cluster).pop().expect("a group's place");
    eventually_blocking(PATIENCE, || if group.exists() { Ok(()) } else { Err("no disk is slow") });
    run_of.kill().expect("it is killed");
    run_of.wait().expect("it has ended");
    eventually_blocking(PATIENCE, || if group.exists() { Err("the guard has not healed") } else { Ok(()) });
    nothing_is_short(&cluster, &limit);

    // Where the kernel's groups are not to be had, that is said before anything is done.
    let without = "umount /sys/fs/cgroup/memory && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", without, "sh"]).arg(program()).args([
        "chaos",
        "run",
        "--faults",
        "limit-memory",
    ]);
    let said: Said = run(command.arg("--dir").arg(cluster.dir()));
    refused(&said, 2, "limit-memory cannot be made on this machine: no control group limits memory");
}

/// Where the groups of this cluster's faults are.
fn groups(cluster: &Cluster) -> Vec<PathBuf> {
    let place = |hierarchy: &str| PathBuf::from(format!("/sys/fs/cgroup/{hierarchy}/kontiki-{}", cluster.tag()));
    ["memory", "blkio"].map(place).to_vec()
}

/// How many descriptors each master may have.
fn limits(cluster: &Cluster) -> Vec<String> {
    let limit = |(master, _): (String, String)| {
        let text = fs::read_to_string(format!("/proc/{}/limits", cluster.pid(&master, "server"))).unwrap_or_default();
        text.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default().to_owned()
    };
    cluster.masters().into_iter().map(limit).collect()
}

fn nothing_is_short(cluster: &Cluster, limit: &[String]) {
    is_whole(cluster);
    assert_eq!(limits(cluster), limit);
    let left: Vec<PathBuf> = groups(cluster).into_iter().filter(|group| group.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}
