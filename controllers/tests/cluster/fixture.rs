//! See the crate's documentation.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::surroundings::Surroundings;
use apiserver::{ApiServer, Connection, Fence, MASTERS, NodeDialer, UserInfo};
use async_trait::async_trait;
use axum::body::Body;
use client::{Selection, Source, SourceEvent};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{Method, Request, header};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use store::{Limits, Start, Store, Timing, Tls};
use tempfile::TempDir;
use testing::eventually;
use testing::free_address;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

/// Longer than any test: no node is ever given up.
pub(crate) const NODE_GRACE_LONG: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);
const CLUSTER: u64 = 7;
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

pub(crate) struct Fixture {
    client: kube::Client,
    store: Store,
    silent: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
    _dir: TempDir,
}

struct NoNodes;

#[async_trait]
impl NodeDialer for NoNodes {
    async fn connect(&self, name: &str, _: IpAddr, _: u16) -> io::Result<Box<dyn Connection>> {
        Err(io::Error::other(format!("no node {name} in this test")))
    }
}

struct Local(ApiServer);

impl Source for Local {
    fn list_and_watch(&self, selection: Selection) -> BoxStream<'static, SourceEvent> {
        let resource = &selection.resource;
        match self.0.local_source(&resource.group, &resource.version, &resource.plural) {
            None => stream::pending().boxed(),
            Some(events) => events
                .map(|event| match event {
                    apiserver::SourceEvent::Reset(objects, revision) => SourceEvent::Reset(objects, revision),
                    apiserver::SourceEvent::Applied(object) => SourceEvent::Applied(object),
                    apiserver::SourceEvent::Deleted(object, revision) => SourceEvent::Deleted(object, revision),
                })
                .boxed(),
        }
    }
}

async fn start_store(dir: PathBuf) -> Store {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca_pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    let uri = format!("kontiki://{CLUSTER:016x}/member/{:016x}", 1);
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let cert_pem = params.signed_by(&key, &issuer).unwrap().pem();
    let (peer_listen, client_listen) = (free_address(), free_address());
    let config = store::Config {
        dir,
        cluster_id: CLUSTER,
        member_id: 1,
        name: "one".into(),
        peer_listen,
        client_listen,
        peer_url: format!("https://{peer_listen}"),
        client_url: format!("https://{client_listen}"),
        tls: Tls { ca_pem, cert_pem, key_pem: key.serialize_pem(), clock: std::time::SystemTime::now },
        start: Start::Init,
        introduced: BTreeMap::new(),
        timing: Timing::default(),
        limits: Limits::default(),
    };
    Store::start(config).await.unwrap()
}

fn start_server(store: &Store) -> ApiServer {
    let config = apiserver::Config {
        member_id: 1,
        name: "one".into(),
        advertise_address: [127, 0, 0, 1].into(),
        port: 6443,
        service_cidrs: vec!["10.96.0.0/24".parse().unwrap()],
        node_ports: apiserver::Config::NODE_PORTS,
        issuer: "https://kubernetes.default.svc".into(),
        token_keys: vec![KeyPair::generate().unwrap().serialize_der()],
        master_key: [42; 32],
        cluster_ca: String::new(),
        unreachable_toleration_seconds: 1,
        runtime_config: apiserver::RuntimeConfig::default(),
        surroundings: Surroundings::real(),
        dialer: Arc::new(NoNodes),
    };
    apiserver::router(store.clone(), config).unwrap()
}

fn in_process(server: &ApiServer, user: &'static str, groups: &[&'static str], term: Option<u64>) -> kube::Client {
    let user = UserInfo::new(user, groups.iter().copied());
    let service = server.router().map_request(move |request: Request<kube::client::Body>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(user.clone());
        if let Some(term) = term {
            request.extensions_mut().insert(Fence { term });
        }
        request
    });
    client::kube_client::over(service, "test")
}

impl Fixture {
    pub(crate) async fn start(node_grace: Duration, nodes: &[&str]) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().ok();
        let dir = tempfile::tempdir().unwrap();
        let store = start_store(dir.path().join("store")).await;
        let server = start_server(&store);
        let stop = CancellationToken::new();
        let (term, leadership) = watch::channel(None);
        let mut lead = store.leadership();
        tokio::spawn(async move {
            loop {
                let now = *lead.borrow_and_update();
                term.send_replace(now.acting.then_some(now.term));
                if lead.changed().await.is_err() {
                    return;
                }
            }
        });
        let source: Arc<dyn Source> = Arc::new(Local(server.clone()));
        let (of_controllers, of_scheduler) = (server.clone(), server.clone());
        let settings = controllers::Settings {
            cluster_cidrs: vec![("10.244.0.0/16".parse().unwrap(), 24)],
            root_ca_pem: "PEM".into(),
            node_grace,
            ..controllers::Settings::default()
        };
        let controllers = controllers::Config {
            source: source.clone(),
            reader: in_process(&server, "system:kube-controller-manager", &["system:authenticated"], None),
            client_for: Arc::new(move |term| {
                in_process(&of_controllers, "system:kube-controller-manager", &["system:authenticated"], Some(term))
            }),
            leadership: leadership.clone(),
            host: "one".into(),
            settings,
            surroundings: Surroundings::real(),
        };
        let scheduler = scheduler::Config {
            source,
            client_for: Arc::new(move |term| {
                in_process(&of_scheduler, "system:kube-scheduler", &["system:authenticated"], Some(term))
            }),
            leadership,
            host: "one".into(),
            surroundings: Surroundings::real(),
        };
        tokio::spawn(controllers::run(controllers, stop.clone()));
        tokio::spawn(scheduler::run(scheduler, stop.clone()));
        let client = in_process(&server, "admin", &[MASTERS], None);
        let silent = Arc::new(Mutex::new(Vec::new()));
        let fixture = Self { client, store, silent, _stop: stop.clone().drop_guard(), _dir: dir };
        eventually(SOON, async || if server.is_ready() { Ok(()) } else { Err("the API server is not ready") }).await;
        for name in nodes {
            fixture.add_node(name).await;
        }
        let renew = node_grace < NODE_GRACE_LONG;
        let kubelet = kubelet(fixture.client.clone(), fixture.silent.clone(), renew);
        tokio::spawn(async move {
            tokio::select! { () = kubelet => {}, () = stop.cancelled() => {} }
        });
        fixture
    }

    async fn add_node(&self, name: &str) {
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        self.post("/api/v1/nodes", &node).await;
        let status = json!({
            "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        self.patch(&format!("/api/v1/nodes/{name}/status"), &json!({"status": status})).await;
        self.post(LEASES, &json!({"metadata": {"name": name}, "spec": {"renewTime": now()}})).await;
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) {
        send(&self.client, Method::POST, path, Some(body)).await.unwrap();
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) {
        send(&self.client, Method::PATCH, path, Some(body)).await.unwrap();
    }

    pub(crate) async fn delete(&self, path: &str) {
        send(&self.client, Method::DELETE, path, Some(&json!({"propagationPolicy": "Background"}))).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        send(&self.client, Method::GET, path, None).await.unwrap_or_default()
    }

    pub(crate) async fn deploy(&self, name: &str, replicas: u32, image: &str) {
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        self.post("/apis/apps/v1/namespaces/default/deployments", &json!({"metadata": {"name": name}, "spec": spec}))
            .await;
    }

    pub(crate) async fn set_image(&self, name: &str, image: &str) {
        let containers = json!([{"name": "c", "image": image}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.patch(&format!("/apis/apps/v1/namespaces/default/deployments/{name}"), &patch).await;
    }

    pub(crate) async fn scale(&self, name: &str, replicas: u32) {
        let patch = json!({"spec": {"replicas": replicas}});
        self.patch(&format!("/apis/apps/v1/namespaces/default/deployments/{name}"), &patch).await;
    }

    /// What `kubectl rollout status` waits for, and that no other pod is left.
    pub(crate) async fn rolled_out(&self, name: &str, replicas: usize, image: &str) {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
        eventually(SOON, async || {
            let deployment = self.get(&path).await;
            let (status, generation) = (&deployment["status"], &deployment["metadata"]["generation"]);
            let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            let complete =
                counts.iter().all(|count| status[*count] == replicas) && status["observedGeneration"] == *generation;
            let pods = self.get(&format!("{PODS}?labelSelector=app%3D{name}")).await;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            let new = pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image).count();
            if complete && new == replicas && pods.len() == replicas {
                return Ok(());
            }
            let events = self.get("/api/v1/namespaces/default/events").await;
            let events = events["items"].as_array().cloned().unwrap_or_default();
            let told: Vec<_> = events.iter().map(|event| event["message"].to_string()).collect();
            Err(format!("{status:#}\n{} pods, {new} new\n{}", pods.len(), told.join("\n")))
        })
        .await;
    }

    async fn pods_where(&self, node: &str) -> Vec<Value> {
        let pods = self.get(PODS).await["items"].as_array().cloned().unwrap_or_default();
        pods.into_iter().filter(|pod| pod["spec"]["nodeName"] == node).collect()
    }

    pub(crate) async fn pods_on(&self, node: &str) -> usize {
        self.pods_where(node).await.len()
    }

    pub(crate) async fn on_a_node(&self, pod: &str) {
        eventually(SOON, async || {
            let pod = self.get(&format!("{PODS}/{pod}")).await;
            if pod["spec"]["nodeName"].is_null() { Err(format!("{:#}", pod["status"])) } else { Ok(()) }
        })
        .await;
    }

    pub(crate) async fn emptied(&self, node: &str) {
        eventually(SOON, async || match self.pods_where(node).await.as_slice() {
            [] => Ok(()),
            pods => Err(format!("{node} still has {}, such as {:#}", pods.len(), pods[0]["metadata"])),
        })
        .await;
    }

    pub(crate) async fn none_left(&self, path: &str) {
        eventually(SOON, async || {
            let items = self.get(path).await["items"].as_array().map_or(usize::MAX, Vec::len);
            if items == 0 { Ok(()) } else { Err(format!("{items} left at {path}")) }
        })
        .await;
    }

    pub(crate) async fn exists(&self, path: &str) {
        eventually(SOON, async || if self.get(path).await.is_null() { Err("not there") } else { Ok(()) }).await;
    }

    pub(crate) async fn gone(&self, path: &str) {
        eventually(SOON, async || match self.get(path).await {
            Value::Null => Ok(()),
            object => Err(format!("still there: {object:#}")),
        })
        .await;
    }

    pub(crate) async fn tainted(&self, node: &str, taint: &str) {
        eventually(SOON, async || {
            let taints = self.get(&format!("/api/v1/nodes/{node}")).await["spec"]["taints"].to_string();
            if taints.contains(taint) { Ok(()) } else { Err(taints) }
        })
        .await;
    }

    pub(crate) async fn pod_cidr(&self, node: &str) -> String {
        eventually(SOON, async || {
            let node = self.get(&format!("/api/v1/nodes/{node}")).await;
            node["spec"]["podCIDR"].as_str().map(str::to_owned).ok_or("no addresses yet")
        })
        .await
    }

    /// The node's agent is heard of no more.
    pub(crate) async fn silence(&self, node: &str) {
        self.silent.lock().push(node.to_owned());
    }

    /// Comes to rest, and then no revision passes for this long.
    pub(crate) async fn quiet_for(&self, time: Duration) {
        eventually(SOON, async || {
            let before = self.store.view().revision();
            tokio::time::sleep(time).await;
            let after = self.store.view().revision();
            if before == after { Ok(()) } else { Err(format!("{} writes in {time:?}", after - before)) }
        })
        .await;
    }
}

/// Starts and ends pods as told, and renews leases.
async fn kubelet(client: kube::Client, silent: Arc<Mutex<Vec<String>>>, renew: bool) {
    let mut rounds = 0_u32;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        rounds += 1;
        let silent = silent.lock().clone();
        let is_silent = |node: &Value| silent.iter().any(|silent| node == silent.as_str());
        if renew && rounds.is_multiple_of(10) {
            let leases = send(&client, Method::GET, LEASES, None).await.unwrap_or_default();
            for lease in
                leases["items"].as_array().into_iter().flatten().filter(|lease| !is_silent(&lease["metadata"]["name"]))
            {
                let path = format!("{LEASES}/{}", lease["metadata"]["name"].as_str().unwrap());
                send(&client, Method::PATCH, &path, Some(&json!({"spec": {"renewTime": now()}}))).await.ok();
            }
        }
        let pods = send(&client, Method::GET, "/api/v1/pods", None).await.unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            if !pod["spec"]["nodeName"].is_null() && !is_silent(&pod["spec"]["nodeName"]) {
                tend(&client, pod).await;
            }
        }
    }
}

async fn tend(client: &kube::Client, pod: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &pod["metadata"];
    let path = format!("/api/v1/namespaces/{}/pods/{}", text(&metadata["namespace"]), text(&metadata["name"]));
    if !metadata["deletionTimestamp"].is_null() {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}});
        send(client, Method::DELETE, &path, Some(&options)).await.ok();
    } else if let Some(end) = end_of(pod) {
        if pod["status"]["phase"] != end {
            let status = json!({"status": {"phase": end}});
            send(client, Method::PATCH, &format!("{path}/status"), Some(&status)).await.ok();
        }
    } else if pod["status"]["phase"] != "Running" {
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": seconds()});
        let status = json!({"phase": "Running", "conditions": [condition]});
        send(client, Method::PATCH, &format!("{path}/status"), Some(&json!({"status": status}))).await.ok();
    }
}

/// How a pod ends at once; its image tells. Others run on.
fn end_of(pod: &Value) -> Option<&'static str> {
    match pod["spec"]["containers"][0]["image"].as_str() {
        Some("image:succeeds") => Some("Succeeded"),
        Some("image:fails") => Some("Failed"),
        _ => None,
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn seconds() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn send(client: &kube::Client, method: Method, path: &str, body: Option<&Value>) -> Result<Value, kube::Error> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
        .unwrap();
    client.request(request).await
}
