//! A StatefulSet, by kubectl: names that stay, pods that come and go in order, and never a second one of a name.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
};

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
};
use serde_json::Value;
use testing::eventually_blocking;

use crate::program;

const SET: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
  annotations: {kubernetes.io/change-cause: the first}
spec:
  serviceName: peers
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 2
      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists}]
      containers: [{name: db, image: "kontiki.io/demo:1"}]
"#;

#[test]
fn pods_of_a_stateful_set_come_and_go_in_order_and_have_names_that_stay() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    let mut diary = Diary::begin(&kubectl);

    kubectl.with_input("create -f -", SET);
    kubectl.ok("rollout status statefulset/db --timeout=60s");
    for name in ["db-0", "db-1", "db-2"] {
        let hosts = kubectl.ok(&format!("exec {name} -- /demo cat /proc/sys/kernel/hostname /etc/hosts"));
        assert_eq!(hosts.lines().next(), Some(name));
        assert!(hosts.contains(&format!("{name}.peers.default.svc.cluster.local\t{name}\n")), "{hosts}");
    }
    diary.tells(&["+db-0", "+db-1", "+db-2"]);

    kubectl.ok("scale statefulset db --replicas=1");
    eventually_blocking(PATIENCE, || expect(&kubectl.ok("get pods -l app=db -o name"), "pod/db-0\n"));
    diary.tells(&["-db-2", "-db-1"]);

    kubectl.ok("scale statefulset db --replicas=2");
    kubectl.ok("rollout status statefulset/db --timeout=60s");
    let partition = |at| format!(r#"{{"spec":{{"updateStrategy":{{"rollingUpdate":{{"partition":{at}}}}}}}}}"#);
    kubectl.ok(&format!("patch statefulset db -p {}", partition(1)));
    kubectl.ok("set image statefulset/db db=kontiki.io/demo:2");
    let said = kubectl.ok("rollout status statefulset/db --timeout=60s");
    assert!(said.contains("partitioned roll out complete: 1 new pods have been updated"), "{said}");
    diary.tells(&["+db-1", "-db-1", "+db-1"]);
    assert_eq!(images(&kubectl), "kontiki.io/demo:1 kontiki.io/demo:2");

    kubectl.ok(&format!("patch statefulset db -p {}", partition(0)));
    kubectl.ok("rollout status statefulset/db --timeout=60s");
    diary.tells(&["-db-0", "+db-0"]);
    assert_eq!(images(&kubectl), "kontiki.io/demo:2 kontiki.io/demo:2");

    let history = kubectl.ok("rollout history statefulset/db");
    assert_eq!(history.lines().filter(|line| line.contains("the first")).count(), 2, "{history}");
    kubectl.ok("rollout undo statefulset/db");
    kubectl.ok("rollout status statefulset/db --timeout=60s");
    diary.tells(&["-db-1", "+db-1", "-db-0", "+db-0"]);
    assert_eq!(images(&kubectl), "kontiki.io/demo:1 kontiki.io/demo:1");
    let history = kubectl.ok("rollout history statefulset/db");
    assert!(history.contains("\n3 ") && !history.contains("\n1 "), "{history}");

    stays_until_its_node_says_that_it_has_ended(&cluster, &kubectl);

    kubectl.ok("delete statefulset db");
    eventually_blocking(PATIENCE, || expect(&kubectl.ok("get pods,controllerrevisions -o name"), ""));
}

/// A pod of a ReplicaSet on the same node is given up when its grace is over, which shows that there was time for it.
fn stays_until_its_node_says_that_it_has_ended(cluster: &Cluster, kubectl: &Kubectl) {
    kubectl.ok("create deployment web --image=kontiki.io/demo:1");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let web = kubectl.ok("get pods -l app=web -o name");
    let uid = || kubectl.ok("get pod db-1 -o jsonpath={.metadata.uid}");
    let before = uid();

    cluster.cut("w1");
    kubectl.ok("delete pod db-1 --wait=false");
    kubectl.ok(&format!("delete {} --wait=false --grace-period=4", web.trim()));
    eventually_blocking(PATIENCE, || {
        let pods = kubectl.ok("get pods -o name");
        if pods.contains(web.trim()) { Err(pods) } else { Ok(()) }
    });
    assert_eq!(uid(), before, "a second pod of the name was made while the first may still run");
    let going = kubectl.ok("get pod db-1 -o jsonpath={.metadata.deletionTimestamp}");
    assert!(!going.is_empty());

    cluster.mend("w1");
    kubectl.ok("delete deployment web");
    eventually_blocking(PATIENCE, || {
        // For a moment there is none.
        let now = kubectl.ok("get pod db-1 --ignore-not-found -o jsonpath={.metadata.uid}");
        if now.is_empty() || now == before { Err(now) } else { Ok(()) }
    });
    kubectl.ok("rollout status statefulset/db --timeout=60s");
}

fn images(kubectl: &Kubectl) -> String {
    kubectl.ok("get pods -l app=db --sort-by=.metadata.name -o jsonpath={.items[*].spec.containers[0].image}")
}

fn expect(said: &str, wanted: &str) -> Result<(), String> {
    if said == wanted { Ok(()) } else { Err(said.to_owned()) }
}

/// What a watch tells of the set's pods, from the beginning.
struct Diary {
    watch: Child,
    log: tempfile::NamedTempFile,
    /// How many moves were told of before.
    told: usize,
}

/// A pod as the watch shows it.
struct Pod {
    is_ready: bool,
    is_leaving: bool,
}

impl Diary {
    fn begin(kubectl: &Kubectl) -> Self {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let watch = kubectl
            .command("get pods -l app=db --watch --output-watch-events -o json")
            .stdout(log.reopen().expect("the log opens"))
            .stderr(Stdio::null())
            .spawn()
            .expect("kubectl runs");
        Self { watch, log, told: 0 }
    }

    /// This has happened since the last time, and nothing else: `+` a pod was made, `-` one was told to go. Whenever something
    /// happens, all other pods are ready and none is on its way out.
    fn tells(&mut self, expected: &[&str]) {
        // The watch tells with a delay. What it tells beyond that is found by the next look.
        eventually_blocking(PATIENCE, || {
            let fresh = self.moves().split_off(self.told);
            if fresh == expected { Ok(()) } else { Err(format!("{fresh:?} instead of {expected:?}")) }
        });
        self.told += expected.len();
    }

    fn moves(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log.path()).expect("the log can be read");
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let mut moves = Vec::new();
        // The last event may not be whole yet.
        let events = serde_json::Deserializer::from_str(&log).into_iter::<Value>().map_while(Result::ok);
        for event in events {
            let pod = &event["object"];
            let name = pod["metadata"]["name"].as_str().expect("a pod has a name").to_owned();
            if event["type"] == "DELETED" {
                pods.remove(&name);
                continue;
            }
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let is_ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
            let is_leaving = !pod["metadata"]["deletionTimestamp"].is_null();
            let what = match pods.insert(name.clone(), Pod { is_ready, is_leaving }) {
                None => "+",
                Some(before) if is_leaving && !before.is_leaving => "-",
                Some(_) => continue,
            };
            moves.push(format!("{what}{name}"));
            for (other, pod) in pods.iter().filter(|(other, _)| **other != name) {
                assert!(pod.is_ready && !pod.is_leaving, "{moves:?} did not wait for {other}");
            }
        }
        moves
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.watch.kill());
        drop(self.watch.wait());
    }
}
