//! `kontiki chaos`, as its users run it: it says what held, it is not deceived, and it heals whatever happens to it.

use std::{fs, process::Command};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{Said, run},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testing::eventually_blocking;

use crate::program;

#[test]
fn a_run_of_several_faults_keeps_every_promise_and_says_so() {
    let cluster = Cluster::up(program(), &["--workers", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=2");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let web = kubectl.ok("get pods -l app=web -o jsonpath={.items[0].status.podIP}");
    let [junit, summary, report] = ["junit.xml", "summary.md", "report.html"].map(|name| cluster.dir().join(name));

    let said = run(cluster
        .chaos(&["run", "--seed", "4", "--for", "22s", "--interval", "1s"])
        .args(["--faults", "kill-leader,partition-leader,pause,agent-kill,flap"])
        .args(["--probe", &format!("web@w1=http://{web}:8080/"), "--probe", "api=kubectl get deployment web"])
        .args(["--workload", "while kubectl get pods; do sleep 0.5; done"])
        .arg("--junit")
        .arg(&junit)
        .arg("--summary")
        .arg(&summary)
        .arg("--report")
        .arg(&report));
    eprintln!("{}", said.out);

    assert!(said.success, "{}", said.all());
    let verdict = said.out.lines().last().unwrap_or_default();
    assert!(verdict.starts_with("0 of "), "{verdict}");
    assert!(verdict.contains(" acknowledged writes lost; longest write gap "), "{verdict}");
    assert!(verdict.contains(" watches resumed, 0 events lost; "), "{verdict}");
    assert!(verdict.ends_with(" faults, all bit"), "{verdict}");
    assert!(said.out.contains("--seed 4 --faults kill-leader,partition-leader,pause,agent-kill,flap --for 22s"));
    let junit = fs::read_to_string(junit).expect("the JUnit file");
    assert!(junit.contains("failures=\"0\"") && junit.contains("name=\"no acknowledged write is lost\""), "{junit}");
    let summary = fs::read_to_string(summary).expect("the summary");
    assert!(summary.starts_with("**All promises kept.** 0 of ") && summary.contains("\n| kill-leader | "), "{summary}");
    let page = fs::read_to_string(report).expect("the report");
    assert!(page.contains("All promises kept") && page.contains("kill-leader"));
    is_whole(&cluster);
    // What it wrote is gone.
    assert_eq!(cluster.etcdctl(&["get", "--prefix", "/kontiki-chaos/", "--keys-only"]), "");
    eventually_blocking(PATIENCE, || {
        let namespaces = kubectl.ok("get namespaces -o name");
        if namespaces.contains("kontiki-chaos") { Err(namespaces) } else { Ok(()) }
    });
}

/// What a node keeps on its disk outlives a power cut, and what it keeps in memory does not; its pods notice no more than that.
#[test]
fn a_worker_that_loses_power_runs_its_pods_again() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create configmap settings --from-literal=colour=blue");
    let pod = |name: &str, policy: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "restartPolicy": policy,
                "containers": [{
                    "name": "c", "image": "kontiki.io/demo:1",
                    "env": [{ "name": "COLOUR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "colour" } } }],
                    "volumeMounts": [
                        { "name": "disk", "mountPath": "/disk" }, { "name": "memory", "mountPath": "/memory" },
                        { "name": "settings", "mountPath": "/settings" },
                    ],
                }],
                "volumes": [
                    { "name": "disk", "emptyDir": {} }, { "name": "memory", "emptyDir": { "medium": "Memory" } },
                    { "name": "settings", "configMap": { "name": "settings" } },
                ],
            },
        })
        .to_string()
    };
    kubectl.with_input("create -f -", &pod("always", "Always"));
    kubectl.with_input("create -f -", &pod("never", "Never"));
    kubectl.ok("wait pod/always pod/never --for=condition=Ready --timeout=60s");
    let of = |name: &str, path: &str| kubectl.ok(&format!("get pod {name} -o jsonpath={{{path}}}"));
    let uid = of("always", ".metadata.uid");
    let volumes = cluster.dir().join(format!("hosts/w1/agent/state/pods/{uid}/volumes/empty-dir"));
    let [on_disk, in_memory] = ["disk", "memory"].map(|volume| volumes.join(volume).join("note"));
    for note in [&on_disk, &in_memory] {
        fs::write(note, "of before").expect("the volume is there");
    }

    let faults = ["--faults", "reboot-worker", "--interval", "1s"];
    let said = run(cluster.chaos(&["run", "--seed", "1", "--for", "5s"]).args(faults));

    eprintln!("{}", said.out);
    assert!(said.success, "{}", said.all());
    assert!(said.out.contains("and all pods beside it ended"), "{}", said.all());
    assert_eq!((of("always", ".metadata.uid"), of("always", ".status.phase")), (uid, "Running".to_owned()));
    let restarts: u32 = of("always", ".status.containerStatuses[0].restartCount").parse().expect("a number");
    assert!(restarts > 0);
    kubectl.ok("wait pod/always --for=condition=Ready --timeout=60s");
    let answer = kubectl.ok("get --raw /api/v1/namespaces/default/pods/always:8080/proxy/again");
    assert!(answer.contains("path: /again"), "{answer}");
    assert_eq!(fs::read_to_string(on_disk).expect("the note"), "of before");
    assert!(!in_memory.exists() && in_memory.parent().is_some_and(std::path::Path::exists));
    // It ended badly, and nobody wanted it to be started again.
    assert_eq!(of("never", ".status.phase"), "Failed");
    assert_eq!(of("never", ".status.containerStatuses[0].restartCount"), "0");
}

#[test]
fn mistakes_are_told_with_their_fix_and_nothing_is_injected() {
    let nowhere = tempfile::tempdir().expect("a folder");
    let said = run(Command::new(program()).args(["chaos", "run", "--dir"]).arg(nowhere.path()));
    refused(&said, 1, "start one with `kontiki up`");

    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let pids = || cluster.masters().iter().map(|(master, _)| cluster.pid(master, "server")).collect::<Vec<_>>();
    let before = pids();
    let chaos = |flags: &[&str]| run(&mut cluster.chaos(&[&["run"], flags].concat()));
    for (flags, code, fix) in [
        (&["--faults", "kill-leder"][..], 2, "did you mean kill-leader?"),
        (&["--faults", "kill-leader", "--for", "1s"], 2, "use --for 5s or more"),
        (&["--faults", "agent-kill"], 2, "agent-kill needs a worker"),
        (&["--faults", "kill-all,pause", "--at-once", "2"], 2, "--at-once 2 needs two faults of different kinds"),
        (&["--probe", "http://10.0.0.1/"], 2, "write it like"),
        (&["--report", "/no/such/folder/report.html"], 1, "name a file in a folder that exists"),
        (&["--for", "soon"], 2, "write it like 500ms, 90s or 2m"),
        // A probe that fails before anything was done to the cluster tells nothing about it.
        (&["--probe", "liar=echo no luck >&2; false"], 1, "the probe liar fails before any fault"),
    ] {
        refused(&chaos(flags), code, fix);
    }
    refused(&run(&mut cluster.chaos(&["kill", "m7"])), 2, "one of m1, m2, m3");

    cluster.signal("m3", "server", Signal::SIGKILL);
    eventually_blocking(PATIENCE, || if cluster.runs("m3", "server") { Err("m3 runs") } else { Ok(()) });
    refused(&chaos(&[]), 1, "server on m3 does not run");
    cluster.kontiki("up", &[]);
    assert_eq!(pids()[..2], before[..2], "no process was touched");
    is_whole(&cluster);
}

#[test]
fn a_probe_that_fails_under_a_fault_breaks_the_verdict_by_name() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let marker = cluster.dir().join("was-hurt");
    // It holds until the first process of a master is gone, and never again.
    let pids: Vec<String> = cluster.masters().iter().map(|(m, _)| cluster.pid(m, "server").to_string()).collect();
    let liar = format!("! test -e {0} && (kill -0 {1} || (touch {0}; false))", marker.display(), pids.join(" "));

    let said = run(cluster
        .chaos(&["run", "--seed", "1", "--for", "5s", "--interval", "1s", "--faults", "kill-follower"])
        .args(["--max-outage", "500ms", "--probe", &format!("liar={liar}")]));

    assert!(!said.success, "{}", said.all());
    assert!(said.out.contains("BROKEN: writes and probes go on soon: the probe liar failed"), "{}", said.all());
    assert!(said.out.contains("0 of "), "the rest is judged as well:\n{}", said.all());
    is_whole(&cluster);
}

#[test]
fn faults_by_hand_stay_until_they_are_healed() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let leader = cluster.leader();
    let said = run(&mut cluster.chaos(&["kill", "leader"]));
    assert!(said.success && said.out.contains(&format!("{leader} was killed")), "{}", said.all());
    assert!(said.out.contains(" leads term "), "{}", said.all());
    assert!(!cluster.runs(&leader, "server"));
    let healed = run(&mut cluster.chaos(&["heal"]));
    assert!(healed.out.contains(&format!("server on {leader} runs")), "{}", healed.all());
    is_whole(&cluster);

    assert!(run(&mut cluster.chaos(&["pause", "follower"])).success);
    assert!(run(&mut cluster.chaos(&["cut", &leader])).success);
    assert_eq!(cluster.network_faults(), [format!("the link of {leader} is down")]);
    // `kontiki up` undoes what was left, as it starts what does not run.
    assert!(cluster.kontiki("up", &[]).contains("Healed what `kontiki chaos` left"));
    is_whole(&cluster);
    assert!(run(&mut cluster.chaos(&["heal"])).out.contains("nothing to heal"));
}

/// Its guard heals what a killed run left; where that is killed too, `kontiki chaos heal` does.
#[test]
fn a_run_that_was_killed_is_healed() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    for with_guard in [true, false] {
        let mut chaos = cluster
            .chaos(&["run", "--faults", "partition-leader,pause-leader", "--for", "120s", "--interval", "100ms"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let record = cluster.dir().join("chaos/injected.json");
        eventually_blocking(PATIENCE, || if record.exists() { Ok(()) } else { Err("nothing was injected") });
        if !with_guard {
            let guard = guard_of(chaos.id());
            kill(guard, Signal::SIGKILL).expect("the guard is killed");
        }
        chaos.kill().expect("it is killed");
        chaos.wait().expect("it has ended");
        if with_guard {
            eventually_blocking(PATIENCE, || if record.exists() { Err("the guard has not healed") } else { Ok(()) });
        } else {
            assert!(record.exists());
            let said = run(&mut cluster.chaos(&["heal"]));
            assert!(said.success && said.out.contains("Healed: "), "{}", said.all());
        }
        is_whole(&cluster);
    }
}

/// Ctrl-C and SIGTERM end a run with everything healed, and with a verdict on what there was.
#[test]
fn a_run_that_is_interrupted_heals_and_says_so() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let chaos = cluster
        .chaos(&["run", "--faults", "pause-leader", "--for", "120s", "--interval", "100ms"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let record = cluster.dir().join("chaos/injected.json");
    eventually_blocking(PATIENCE, || if record.exists() { Ok(()) } else { Err("nothing was injected") });
    kill(Pid::from_raw(i32::try_from(chaos.id()).expect("an id")), Signal::SIGTERM).expect("it is told to end");
    let output = chaos.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("it was interrupted"), "{said}");
    assert!(said.contains("0 of "), "{said}");
    is_whole(&cluster);
}

pub(crate) fn refused(said: &Said, code: i32, fix: &str) {
    assert!(said.code == Some(code) && said.err.contains(fix), "{code}, {fix}: {:?}\n{}", said.code, said.all());
}

/// Nothing is injected: every master runs, follows one leader, and gets all its packets.
pub(crate) fn is_whole(cluster: &Cluster) {
    assert!(!cluster.dir().join("chaos/injected.json").exists(), "a fault is still recorded");
    assert_eq!(cluster.network_faults(), Vec::<String>::new());
    eventually_blocking(PATIENCE, || {
        let status = cluster.kontiki_said("status", &[]).out;
        let serving = status.lines().filter(|line| line.contains("leader") || line.contains("follower")).count();
        if serving == 3 { Ok(()) } else { Err(status) }
    });
    assert!(cluster.masters().iter().all(|(master, _)| cluster.runs(master, "server")));
}

/// The child of a run that is its guard.
pub(crate) fn guard_of(run: u32) -> Pid {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_guard = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = parent.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parent == Some(run) && String::from_utf8_lossy(&line).contains("\0guard\0")
    };
    let mut guards = pids.filter(is_guard);
    Pid::from_raw(guards.next().expect("a run has its guard"))
}
