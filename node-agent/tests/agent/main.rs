//! A whole agent on this machine: real containers, real network, in a network namespace of its own. Only the API is a
//! stand-in. Needs root.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fake_api;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use nix::sched::CloneFlags;
use node_agent::{Config, ServerTls};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use fake_api::FakeApi;

const NODE: &str = "n1";
const ADDRESS: &str = "192.168.77.1";
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent and what it needs. Everything on the machine goes when the test calls `end`.
struct Host {
    dir: tempfile::TempDir,
    api: FakeApi,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
    ended: bool,
}

impl Drop for Host {
    /// A failed test must not leave processes and mounts behind.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some((stop, _)) = &self.agent {
            stop.cancel();
        }
        let config = self.config();
        // A new thread, since this one drives a runtime; it stands in the same network namespace.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(node_agent::clean_up(&config))
        });
        drop(cleaning.join());
    }
}

impl Host {
    fn new() -> Self {
        let mut host = Self { dir: tempfile::tempdir().unwrap(), api: FakeApi::new(), agent: None, ended: false };
        host.start();
        host
    }

    fn config(&self) -> Config {
        let dir = self.dir.path();
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let key = rcgen::generate_simple_self_signed(vec![NODE.to_owned()]).unwrap();
        let certificate = key.cert.pem().into_bytes();
        Config {
            node_name: NODE.to_owned(),
            node_ip: ADDRESS.parse().unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            dir: dir.join("state"),
            run_dir: dir.join("run"),
            log_dir: dir.join("log"),
            images_dir: dir.join("archives"),
            insecure_registries: Vec::new(),
            cgroup_root: format!("kontiki-test{name}"),
            client: self.api.client(),
            tls: ServerTls {
                client_ca: certificate.clone(),
                certificate,
                key: key.signing_key.serialize_pem().into_bytes(),
            },
            cluster_domain: "cluster.local".to_owned(),
            cluster_dns: Vec::new(),
            labels: BTreeMap::new(),
            max_pods: 110,
            lease_renewal: Duration::from_millis(200),
            lease_duration: Duration::from_secs(10),
        }
    }

    fn start(&mut self) {
        let stop = CancellationToken::new();
        let run = node_agent::run(self.config(), stop.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        self.agent = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.agent.take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    async fn end(mut self) {
        self.stop().await;
        node_agent::clean_up(&self.config()).await.unwrap();
        self.ended = true;
        let left = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = self.dir.path().to_str().unwrap();
        assert!(!left.contains(ours), "mounts are left behind");
    }

    fn create(&self, name: &str, spec: Value) {
        let mut object = json!({ "metadata": { "name": name, "generation": 1 }, "spec": spec });
        object["spec"]["nodeName"] = json!(NODE);
        self.api.create("/api/v1/namespaces/shop/pods", object);
    }

    fn pod(&self, name: &str) -> Value {
        self.api.get(&path(name)).unwrap_or_default()
    }

    /// Waits until the pod's object fulfils `holds`.
    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let pod = self.pod(name);
            if holds(&pod) {
                return pod;
            }
            let reasons = self.api.reasons(name);
            assert!(begun.elapsed() < PATIENCE, "pod {name} never was {what}: {pod:#} {reasons:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self, name: &str, container: &str) -> String {
        let path: PathBuf = self.dir.path().join(format!("log/pods/shop_{name}_uid-of-{name}/{container}/0.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{name}")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn has_phase(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |pod| pod["status"]["phase"] == phase
}

/// Runs a test on a runtime all of whose threads stand in a fresh network namespace.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            let connection = tokio::spawn(connection);
            handle.link().add(rtnetlink::LinkVeth::new("up0", "up1").build()).execute().await.unwrap();
            for name in ["lo", "up0", "up1"] {
                let up = rtnetlink::LinkUnspec::new_with_name(name).up().build();
                handle.link().set(up).execute().await.unwrap();
            }
            let mut links = handle.link().get().match_name("up0").execute();
            let uplink = links.try_next().await.unwrap().unwrap().header.index;
            handle.address().add(uplink, ADDRESS.parse().unwrap(), 24).execute().await.unwrap();
            connection.abort();
            test().await;
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn demo(args: &[&str]) -> Value {
    json!({ "name": "a", "image": "kontiki.io/demo:1", "imagePullPolicy": "IfNotPresent", "args": args })
}

#[test]
fn a_pod_runs_serves_survives_the_agent_and_ends() {
    on_a_host(|| async {
        let mut host = Host::new();
        let mut container = demo(&["serve"]);
        container["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
        host.create("web", json!({ "terminationGracePeriodSeconds": 5, "containers": [container] }));
        let pod = host.until("web", "ready", is_ready).await;
        let ip: std::net::IpAddr = pod["status"]["podIP"].as_str().unwrap().parse().unwrap();
        tokio::net::TcpStream::connect((ip, 8080)).await.unwrap();
        let id = pod["status"]["containerStatuses"][0]["containerID"].clone();
        for reason in ["Pulled", "Created", "Started"] {
            assert!(host.api.reasons("web").contains(&reason.to_owned()), "{reason}");
        }

        host.stop().await;
        tokio::net::TcpStream::connect((ip, 8080)).await.unwrap();
        host.start();
        host.create("second", json!({ "containers": [demo(&["serve"])] }));
        host.until("second", "running", has_phase("Running")).await;
        assert_eq!(host.pod("web")["status"]["containerStatuses"][0]["containerID"], id, "the agent adopted the pod");
        assert!(is_ready(&host.pod("web")));

        host.api.delete_gracefully(&path("web"), 5);
        host.until("web", "gone", Value::is_null).await;
        assert!(tokio::net::TcpStream::connect((ip, 8080)).await.is_err());
        assert!(!host.dir.path().join("log/pods/shop_web_uid-of-web").exists());

        // A pod whose object vanishes while no agent runs is ended by the next one.
        host.stop().await;
        let ip: std::net::IpAddr = host.pod("second")["status"]["podIP"].as_str().unwrap().parse().unwrap();
        host.api.remove(&path("second"));
        host.start();
        let begun = tokio::time::Instant::now();
        while tokio::net::TcpStream::connect((ip, 8080)).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the pod without an object goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        host.end().await;
    });
}

#[test]
fn pods_end_crash_and_wait_as_kubernetes_says() {
    on_a_host(|| async {
        let host = Host::new();
        host.create("job", json!({ "restartPolicy": "Never", "containers": [demo(&["exit", "0"])] }));
        host.create("bad", json!({ "restartPolicy": "Never", "containers": [demo(&["exit", "3"])] }));
        host.create("loop", json!({ "containers": [demo(&["exit", "1"])] }));
        host.create("pull", json!({ "containers": [{ "name": "a", "image": "127.0.0.1:1/missing:1" }] }));
        let mut broken = demo(&[]);
        broken["command"] = json!(["/no/such/program"]);
        host.create("broken", json!({ "restartPolicy": "Never", "containers": [broken] }));

        host.until("job", "Succeeded", has_phase("Succeeded")).await;
        let bad = host.until("bad", "Failed", has_phase("Failed")).await;
        assert_eq!(bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
        let waiting = |reason: &'static str| {
            move |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
        };
        let looping = host.until("loop", "in CrashLoopBackOff", waiting("CrashLoopBackOff")).await;
        assert!(looping["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1));
        host.until("pull", "in ImagePullBackOff", waiting("ImagePullBackOff")).await;
        assert_eq!(host.pod("pull")["status"]["phase"], "Pending");
        let broken = host.until("broken", "Failed", has_phase("Failed")).await;
        assert_eq!(broken["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "StartError");
        host.end().await;
    });
}

#[test]
fn containers_see_what_the_pod_gives_them() {
    on_a_host(|| async {
        let host = Host::new();
        let map = json!({ "metadata": { "name": "settings" }, "data": { "color": "blue" } });
        host.api.create("/api/v1/namespaces/shop/configmaps", map);
        let mut init = demo(&["write", "/scratch/note", "from init"]);
        init["name"] = json!("i");
        init["volumeMounts"] = json!([{ "name": "scratch", "mountPath": "/scratch" }]);
        let mut container = demo(&["cat", "/scratch/note", "/settings/color", "/token/token", "/etc/hosts"]);
        container["volumeMounts"] = json!([
            { "name": "scratch", "mountPath": "/scratch" }, { "name": "settings", "mountPath": "/settings" },
            { "name": "token", "mountPath": "/token" },
        ]);
        let mut env = demo(&["env"]);
        env["name"] = json!("b");
        env["env"] = json!([
            { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "COLOR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "color" } } },
        ]);
        host.create(
            "looker",
            json!({ "restartPolicy": "Never", "initContainers": [init], "containers": [container, env],
                "volumes": [
                    { "name": "scratch", "emptyDir": {} },
                    { "name": "settings", "configMap": { "name": "settings" } },
                    { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
                ] }),
        );
        let pod = host.until("looker", "Succeeded", has_phase("Succeeded")).await;
        let log = host.log("looker", "a");
        let ip = pod["status"]["podIP"].as_str().unwrap();
        for text in ["from init", "blue", "a-token", &format!("{ip}\tlooker")] {
            assert!(log.contains(text), "{text:?} is not in {log}");
        }
        let log = host.log("looker", "b");
        assert!(log.contains("POD=looker") && log.contains("COLOR=blue"), "{log}");
        host.end().await;
    });
}

#[test]
fn the_node_is_registered_ready_and_alive() {
    on_a_host(|| async {
        let host = Host::new();
        let begun = tokio::time::Instant::now();
        let node = loop {
            let node = host.api.get("/api/v1/nodes/n1").unwrap_or_default();
            if is_ready(&node) {
                break node;
            }
            assert!(begun.elapsed() < PATIENCE, "never ready: {node:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], NODE);
        assert_eq!(node["status"]["capacity"]["pods"], "110");
        // Whoever takes the node or its pods for dead is corrected.
        let dead = json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } });
        host.api.patch("/api/v1/nodes/n1", &dead).unwrap();
        while !is_ready(&host.api.get("/api/v1/nodes/n1").unwrap()) {
            assert!(begun.elapsed() < PATIENCE, "the node stays unknown");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.create("web", json!({ "containers": [demo(&["serve"])] }));
        host.until("web", "ready", is_ready).await;
        let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        host.api.patch(&path("web"), &unready).unwrap();
        host.until("web", "ready again", is_ready).await;

        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
        let first = host.api.get(lease).unwrap()["spec"]["renewTime"].clone();
        while host.api.get(lease).unwrap()["spec"]["renewTime"] == first {
            assert!(begun.elapsed() < PATIENCE, "the lease is not renewed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.end().await;
    });
}

#[test]
fn hooks_and_probes_run_in_the_container() {
    on_a_host(|| async {
        let host = Host::new();
        let exec = |words: &[&str]| json!({ "exec": { "command": words } });
        let mut good = demo(&["serve"]);
        good["lifecycle"] = json!({
            "postStart": exec(&["/demo", "write", "/tmp/started", "yes"]), "preStop": exec(&["/demo", "exit", "7"]),
        });
        good["readinessProbe"] = exec(&["/demo", "cat", "/tmp/started"]);
        good["readinessProbe"]["periodSeconds"] = json!(1);
        host.create("good", json!({ "terminationGracePeriodSeconds": 5, "containers": [good] }));
        let mut unhooked = demo(&["serve"]);
        unhooked["lifecycle"] = json!({ "postStart": exec(&["/demo", "exit", "9"]) });
        host.create("unhooked", json!({ "terminationGracePeriodSeconds": 1, "containers": [unhooked] }));
        let mut unlive = demo(&["serve"]);
        unlive["livenessProbe"] = exec(&["/demo", "cat", "/nothing"]);
        (unlive["livenessProbe"]["periodSeconds"], unlive["livenessProbe"]["failureThreshold"]) = (json!(1), json!(1));
        host.create("unlive", json!({ "terminationGracePeriodSeconds": 1, "containers": [unlive] }));

        host.until("good", "ready", is_ready).await;
        let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1);
        for (name, reason) in [("unhooked", "FailedPostStartHook"), ("unlive", "Unhealthy")] {
            host.until(name, "restarted", restarted).await;
            assert!(host.api.reasons(name).contains(&reason.to_owned()), "{name}: {:?}", host.api.reasons(name));
        }
        host.api.delete_gracefully(&path("good"), 5);
        host.until("good", "gone", Value::is_null).await;
        let begun = tokio::time::Instant::now();
        while !host.api.reasons("good").contains(&"FailedPreStopHook".to_owned()) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", host.api.reasons("good"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.end().await;
    });
}
