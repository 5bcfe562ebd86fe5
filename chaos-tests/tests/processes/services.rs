//! Services carry traffic: from pods, nodes and from outside, to the pods that are ready and to no others.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
    command::succeed,
};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::Signal,
};
use testing::eventually_blocking;

use crate::program;

/// A pod that is being deleted, or the last of a Service, is asked no longer than this.
const SOON: Duration = Duration::from_secs(2);
/// So many connections, spread over four pods at random, miss one of them once in ten million times.
const MANY: usize = 60;

/// Where a client stands: this machine's own network, or the network namespace of a host or a pod.
#[derive(Clone)]
struct Client(Option<PathBuf>);

impl Client {
    fn host(cluster: &Cluster, name: &str) -> Self {
        Self(Some(Path::new("/run/netns").join(format!("kontiki-{}-{name}", cluster.tag()))))
    }

    fn pod(cluster: &Cluster, kubectl: &Kubectl, name: &str) -> Self {
        let answer = kubectl.ok(&format!("get pod {name} -o jsonpath={{.spec.nodeName}}|{{.metadata.uid}}"));
        let (node, uid) = answer.split_once('|').expect("a node and a uid");
        Self(Some(cluster.host_dir(node, "agent").join("run/netns").join(uid)))
    }

    /// Asks the demo server at an address; gives the name of the pod that answered.
    fn ask(&self, target: SocketAddr) -> io::Result<String> {
        let namespace = self.0.clone();
        let asking = std::thread::spawn(move || {
            if let Some(namespace) = namespace {
                setns(File::open(namespace)?, CloneFlags::CLONE_NEWNET)?;
            }
            ask(target)
        });
        asking.join().expect("no panic")
    }

    /// Everyone who answers many connections, all of which must be answered.
    fn answerers(&self, target: SocketAddr) -> Result<BTreeSet<String>, String> {
        (0..MANY).map(|_| self.ask(target).map_err(|error| format!("{target}: {error}"))).collect()
    }
}

fn ask(target: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&target, SOON)?;
    connection.set_read_timeout(Some(SOON))?;
    write!(connection, "GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let pod = answer.lines().find_map(|line| line.strip_prefix("pod: "));
    pod.map(str::to_owned).ok_or_else(|| io::Error::other(format!("an answer without a pod: {answer:?}")))
}

fn names(kubectl: &Kubectl) -> BTreeSet<String> {
    let names = kubectl.ok("get pods -l app=web -o jsonpath={.items[*].metadata.name}");
    names.split_whitespace().map(str::to_owned).collect()
}

/// The pods that are asked become these.
#[track_caller]
fn becomes(client: &Client, target: SocketAddr, expected: &BTreeSet<String>, deadline: Duration) {
    eventually_blocking(deadline, || match client.answerers(target) {
        Ok(found) if found == *expected => Ok(()),
        other => Err(format!("{other:?} instead of {expected:?}")),
    });
}

/// A cluster with four pods of a Service on two workers, and a client on each.
fn cluster() -> (Cluster, Kubectl) {
    let cluster = Cluster::up(program(), &["--masters", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=4");
    kubectl.ok("expose deployment web --type=NodePort --port=80 --target-port=8080");
    for host in ["w1", "w2"] {
        let overrides = format!(r#"--overrides={{"spec":{{"nodeName":"{host}"}}}}"#);
        kubectl.ok(&format!("run on-{host} --image=kontiki.io/demo:1 {overrides}"));
    }
    kubectl.ok("rollout status deployment/web --timeout=60s");
    kubectl.ok("wait --for=condition=Ready pod/on-w1 pod/on-w2 --timeout=60s");
    (cluster, kubectl)
}

fn address(kubectl: &Kubectl, service: &str, port: u16) -> SocketAddr {
    let address = kubectl.ok(&format!("get service {service} -o jsonpath={{.spec.clusterIP}}"));
    SocketAddr::new(address.parse().expect("an address"), port)
}

#[test]
fn a_service_is_reached_from_everywhere_and_leads_to_the_pods_that_are_ready() {
    let (cluster, kubectl) = cluster();
    let clients = ["on-w1", "on-w2"].map(|name| Client::pod(&cluster, &kubectl, name));
    let service = address(&kubectl, "web", 80);
    let pods = names(&kubectl);
    assert_eq!(pods.len(), 4);

    shows_the_endpoints(&kubectl);
    reaches_from_everywhere(&cluster, &kubectl, service, &pods);
    reaches_the_api(&cluster, &kubectl);

    let gone = pods.first().expect("a pod").clone();
    kubectl.ok(&format!("delete pod {gone} --wait=false"));
    eventually_blocking(SOON, || match clients[0].answerers(service) {
        Ok(found) if found.contains(&gone) => Err(format!("{gone} still answers")),
        other => other.map(|_| ()),
    });
    for client in &clients {
        let found = client.answerers(service).expect("every connection is answered");
        assert!(!found.contains(&gone), "{gone} is asked again");
    }

    // Without its agent a node goes on as it was, and the next agent interrupts nothing.
    kubectl.ok("rollout status deployment/web --timeout=60s");
    becomes(&clients[0], service, &names(&kubectl), PATIENCE);
    cluster.signal("w1", "agent", Signal::SIGKILL);
    assert_eq!(clients[0].answerers(service), Ok(names(&kubectl)));
    cluster.kontiki("up", &[]);
    assert_eq!(clients[0].answerers(service), Ok(names(&kubectl)));

    kubectl.ok("scale deployment web --replicas=0");
    for client in &clients {
        eventually_blocking(PATIENCE, || {
            let begin = Instant::now();
            match client.ask(service) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && begin.elapsed() < SOON => Ok(()),
                other => Err(format!("{other:?} after {:?}", begin.elapsed())),
            }
        });
    }
    kubectl.ok("scale deployment web --replicas=2");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    for client in &clients {
        becomes(client, service, &names(&kubectl), PATIENCE);
    }
}

/// Clients of the API read where the pods are.
fn shows_the_endpoints(kubectl: &Kubectl) {
    let sorted = |text: String| -> Vec<String> {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    let pods = sorted(kubectl.ok("get pods -l app=web -o jsonpath={.items[*].status.podIP}"));
    let slices = "get endpointslices -l kubernetes.io/service-name=web -o";
    eventually_blocking(PATIENCE, || {
        let ready = "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}";
        let found = sorted(kubectl.ok(&format!("{slices} {ready}")));
        if found == pods { Ok(()) } else { Err(format!("{found:?} instead of {pods:?}")) }
    });
    let owner = kubectl.ok(&format!("{slices} jsonpath={{.items[0].metadata.ownerReferences[0].name}}"));
    assert_eq!(owner, "web");
    eventually_blocking(PATIENCE, || {
        let found = sorted(kubectl.ok("get endpoints web -o jsonpath={.subsets[0].addresses[*].ip}"));
        if found == pods { Ok(()) } else { Err(format!("{found:?} instead of {pods:?}")) }
    });
}

fn reaches_from_everywhere(cluster: &Cluster, kubectl: &Kubectl, service: SocketAddr, pods: &BTreeSet<String>) {
    for name in ["on-w1", "on-w2"].into_iter().chain(pods.iter().map(String::as_str)) {
        // A pod of the Service finds itself among those that answer.
        becomes(&Client::pod(cluster, kubectl, name), service, pods, PATIENCE);
    }
    for host in ["w1", "w2"] {
        becomes(&Client::host(cluster, host), service, pods, PATIENCE);
    }
    let said = kubectl.ok(&format!("exec on-w1 -- /demo get http://{service}/by-exec"));
    assert!(said.contains("path: /by-exec"), "{said}");

    let port = kubectl.ok("get service web -o jsonpath={.spec.ports[0].nodePort}");
    let port: u16 = port.parse().expect("a node port");
    let nodes = kubectl.ok(r#"get nodes -o jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}"#);
    let workers: Vec<SocketAddr> =
        nodes.split_whitespace().map(|node| SocketAddr::new(node.parse().expect("an address"), port)).collect();
    assert_eq!(workers.len(), 2, "{nodes}");
    for node in workers {
        becomes(&Client(None), node, pods, PATIENCE);
        becomes(&Client::pod(cluster, kubectl, "on-w1"), node, pods, PATIENCE);
    }
}

/// The API itself is a Service, whose endpoints are the masters and know no way to pods.
fn reaches_the_api(cluster: &Cluster, kubectl: &Kubectl) {
    let api = address(kubectl, "kubernetes", 443);
    let Client(Some(namespace)) = Client::pod(cluster, kubectl, "on-w1") else { panic!("a pod has a namespace") };
    let network = format!("--net={}", namespace.display());
    let url = format!("https://{api}/readyz");
    let authority = cluster.dir().join("authority.pem");
    std::fs::write(&authority, kubectl.ok("get configmap kube-root-ca.crt -o jsonpath={.data.ca\\.crt}"))
        .expect("the authority is written");
    let said = succeed(
        Command::new("nsenter")
            .args([&network, "curl", "-sS", "--max-time", "10", "--cacert"])
            .arg(&authority)
            .arg(&url),
    );
    assert_eq!(said, "ok");
}
