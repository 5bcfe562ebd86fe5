//! Clocks that jump, differ and tremble: nothing of the cluster depends on what time it is where.

use std::{fs, path::PathBuf, process::Stdio};

use chaos_tests::{Cluster, cluster::PATIENCE, command::run};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use testing::eventually_blocking;

use crate::{
    chaos_command::{guard_of, is_whole},
    program,
};

/// What this machine may need to make an object and to say so.
const SLOW: SignedDuration = SignedDuration::from_secs(30);

#[test]
fn clocks_that_are_wrong_lose_nothing_and_begin_no_job_twice() {
    let cluster = Cluster::up(program(), &["--workers", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=2");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    // Due in twenty minutes: by a clock that is ahead it is due, and then again it is not.
    let due = (Timestamp::now() + SignedDuration::from_mins(20)).strftime("%M %H * * *").to_string();
    let cron_job = serde_json::json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "tick" },
        "spec": {
            "schedule": due, "timeZone": "Etc/UTC",
            "jobTemplate": { "spec": { "suspend": true, "template": { "spec": {
                "restartPolicy": "Never", "containers": [{ "name": "c", "image": "kontiki.io/demo:1" }],
            } } } },
        },
    });
    kubectl.with_input("create -f -", &cron_job.to_string());

    // A change of it makes its controller look at the clock.
    let look = "n=0; while kubectl annotate --overwrite cronjob tick looked=$n; do n=$((n + 1)); sleep 0.2; done";
    let faults = ["--faults", "clock-jump,clock-jump-worker,clock-skew,clock-strobe", "--interval", "500ms"];
    let said = run(cluster.chaos(&["run", "--seed", "5", "--for", "28s", "--workload", look]).args(faults));

    eprintln!("{}", said.out);
    assert!(said.success, "{}", said.all());
    assert!(said.out.contains(" min ahead, then ") && said.out.contains(" min behind"), "{}", said.all());
    let jobs = kubectl.ok("get jobs -o jsonpath={.items[*].metadata.name}");
    assert_eq!(jobs.split_whitespace().count(), 1, "{jobs}");
    clocks_are_right(&cluster);

    // Somebody else sets right what a run could not: its guard, or the next command.
    for with_guard in [true, false] {
        let flags = ["run", "--faults", "clock-skew", "--for", "120s", "--interval", "100ms"];
        let mut chaos = cluster.chaos(&flags).stdout(Stdio::null()).spawn().expect("it starts");
        eventually_blocking(PATIENCE, || match clock_files(&cluster).iter().all(|file| file.exists()) {
            true => Ok(()),
            false => Err("no clock is moved"),
        });
        if !with_guard {
            kill(guard_of(chaos.id()), Signal::SIGKILL).expect("the guard is killed");
        }
        chaos.kill().expect("it is killed");
        chaos.wait().expect("it has ended");
        if !with_guard {
            let healed = run(&mut cluster.chaos(&["heal"]));
            assert!(healed.success && healed.out.contains("the clock of m1 is right again"), "{}", healed.all());
        }
        clocks_are_right(&cluster);
    }
}

/// Where it is written how far a host's clock is ahead.
fn clock_files(cluster: &Cluster) -> Vec<PathBuf> {
    ["m1", "m2", "m3", "w1"].map(|host| cluster.dir().join("hosts").join(host).join("clock")).to_vec()
}

/// No clock is moved, and masters as well as the agent say what time it is.
fn clocks_are_right(cluster: &Cluster) {
    eventually_blocking(PATIENCE, || {
        let moved: Vec<PathBuf> = clock_files(cluster).into_iter().filter(|file| file.exists()).collect();
        if moved.is_empty() { Ok(()) } else { Err(format!("{moved:?}")) }
    });
    is_whole(cluster);
    let kubectl = cluster.kubectl("kubectl");
    let right = |said: &str| {
        let said: Timestamp = said.parse().map_err(|error| format!("{said:?}: {error}"))?;
        if said.duration_since(Timestamp::now()).abs() < SLOW { Ok(()) } else { Err(said.to_string()) }
    };
    for (master, _) in cluster.masters() {
        let made = "create configmap clock --dry-run=server -o jsonpath={.metadata.creationTimestamp}";
        eventually_blocking(PATIENCE, || right(&kubectl.against(&master).ok(made)));
    }
    let renewed = "get lease -n kube-node-lease w1 -o jsonpath={.spec.renewTime}";
    eventually_blocking(PATIENCE, || right(&kubectl.ok(renewed)));
    let leftover = fs::read_to_string(cluster.dir().join("chaos/injected.json"));
    assert!(leftover.is_err(), "{leftover:?}");
}
