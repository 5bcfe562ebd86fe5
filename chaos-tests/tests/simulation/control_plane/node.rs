//! Simulated nodes: what an agent does through the API, without containers. Their proxies are the product's, up to the packet filter.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::surroundings::Surroundings;
use apiserver::{NODE_PREFIX, NODES, UserInfo};
use client::{Cache, HttpSource, Key, Resource, Selection, WorkQueue, work_queue::BackOff};
use http::Method;
use node_agent::{Destinations, observe_services};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Answer, Client},
    lives::Lives,
    master::Masters,
    routes::{Routes, address_of},
};
use crate::{chance::Chance, cluster::Cluster, network::Place};

/// Nodes are at places beyond all members, clients and watchers.
pub(crate) const FIRST_NODE: Place = 3000;
const PODS: Resource = Resource::new("", "v1", "pods");
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// Between two renewals of the lease, in simulated time as everything here.
const RENEWAL: Duration = Duration::from_secs(2);
/// Before a request that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// All nodes. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Nodes {
    cluster: Cluster,
    masters: Masters,
    chance: Chance,
    alive: Arc<Mutex<BTreeMap<Place, CancellationToken>>>,
    lives: Lives,
    routes: Routes,
}

impl Nodes {
    pub(crate) fn new(cluster: &Cluster, masters: &Masters, chance: Chance) -> Self {
        let (cluster, masters) = (cluster.clone(), masters.clone());
        Self { cluster, masters, chance, alive: Arc::default(), lives: Lives::default(), routes: Routes::default() }
    }

    /// Starts a node that is down.
    pub(crate) fn start(&self, place: Place) {
        let mut alive = self.alive.lock();
        if alive.get(&place).is_some_and(|alive| !alive.is_cancelled()) {
            return;
        }
        let token = CancellationToken::new();
        alive.insert(place, token.clone());
        let name = name(place);
        let user = UserInfo::new(format!("{NODE_PREFIX}{name}"), [NODES]);
        let client = Client::new(&self.cluster, self.chance.fork(), place, user, "kontiki-agent");
        let surroundings = self.masters.surroundings(place);
        let (lives, routes, chance) = (self.lives.clone(), self.routes.clone(), self.chance.fork());
        let agent = Agent { name, place, client, surroundings, lives, routes, chance };
        tokio::spawn(token.run_until_cancelled_owned(agent.run()));
    }

    /// A node dies with everything on it.
    pub(crate) fn kill(&self, place: Place) {
        if let Some(alive) = self.alive.lock().get(&place) {
            alive.cancel();
        }
        self.lives.end(place, |_| true);
        self.routes.lead(place, Destinations::new());
    }

    /// What lived on them.
    pub(crate) fn lives(&self) -> &Lives {
        &self.lives
    }

    /// Where their connections went.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Where there are nodes.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.alive.lock().keys().copied().collect()
    }
}

fn name(place: Place) -> String {
    format!("n{}", place - FIRST_NODE)
}

struct Agent {
    name: String,
    place: Place,
    client: Client,
    surroundings: Surroundings,
    lives: Lives,
    routes: Routes,
    chance: Chance,
}

impl Agent {
    async fn run(self) {
        while !self.register().await {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::join!(self.stay(), self.tend_all(), self.route());
    }

    /// Follows Services.
    async fn route(&self) {
        let tell = |to| self.routes.lead(self.place, to);
        observe_services(self.client.kube(), &self.name, address_of(self.place), tell).await;
    }

    async fn register(&self) -> bool {
        let node = json!({"metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}});
        let made = self.client.send(Method::POST, "/api/v1/nodes", Some(&node)).await;
        let there = matches!(made, Answer::Done(_) | Answer::Refused(409, _));
        there && self.post_status().await && self.renew().await
    }

    async fn post_status(&self) -> bool {
        let amounts = json!({"cpu": "8", "memory": "8Gi", "pods": "110"});
        let now = api::time::format(self.surroundings.now());
        let conditions: Vec<Value> = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
            .iter()
            .map(|kind| json!({"type": kind, "status": if *kind == "Ready" { "True" } else { "False" }, "lastTransitionTime": now}))
            .collect();
        let status = json!({"status": {"capacity": amounts, "allocatable": amounts, "conditions": conditions}});
        let path = format!("/api/v1/nodes/{}/status", self.name);
        matches!(self.client.send(Method::PATCH, &path, Some(&status)).await, Answer::Done(_))
    }

    async fn renew(&self) -> bool {
        let spec = json!({
            "holderIdentity": self.name, "leaseDurationSeconds": 8,
            "renewTime": api::time::format_micro(self.surroundings.now()),
        });
        let path = format!("{LEASES}/{}", self.name);
        match self.client.send(Method::PATCH, &path, Some(&json!({"spec": spec}))).await {
            Answer::Refused(404, _) => {
                let lease = json!({"metadata": {"name": self.name}, "spec": spec});
                matches!(self.client.send(Method::POST, LEASES, Some(&lease)).await, Answer::Done(_))
            }
            answer => matches!(answer, Answer::Done(_)),
        }
    }

    /// Renews the lease, and says again that the node is ready when the masters take it for something else.
    async fn stay(&self) {
        loop {
            let renewed = self.renew().await;
            let path = format!("/api/v1/nodes/{}", self.name);
            if let Answer::Done(node) = self.client.send(Method::GET, &path, None).await {
                let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
                if !conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True") {
                    // Tried again at the next renewal.
                    self.post_status().await;
                }
            }
            tokio::time::sleep(if renewed { RENEWAL } else { PAUSE }).await;
        }
    }

    /// Starts and ends the pods that are bound to the node.
    async fn tend_all(&self) {
        let fields = format!("spec.nodeName={}", self.name);
        let cache = Cache::new(Selection::all(PODS).with_fields(fields), |_| ());
        let queue = WorkQueue::new(BackOff { first: Duration::from_millis(100), most: Duration::from_secs(2) });
        let wake = queue.clone();
        let _subscription = cache.subscribe(move |change| wake.add(change.key.clone()));
        let source = HttpSource::new(self.client.kube()).surrounded_by(self.surroundings.clone());
        let work = async {
            loop {
                let key = queue.get().await;
                if let Some(entry) = cache.get(&key) {
                    tokio::time::sleep(self.chance.millis(5..150)).await;
                    let pod: Value = serde_json::from_slice(entry.object.json()).expect("a pod");
                    if self.tend(&key, &pod).await {
                        queue.forget(&key);
                    } else {
                        queue.add_rate_limited(key.clone());
                    }
                } else {
                    let name = key.to_string();
                    self.lives.end(self.place, |life| life.pod == name);
                }
                queue.done(&key);
            }
        };
        tokio::join!(cache.clone().run(Arc::new(source), CancellationToken::new()), work,);
    }

    async fn tend(&self, key: &Key, pod: &Value) -> bool {
        let path = format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name);
        let uid = &pod["metadata"]["uid"];
        // What the API is told of has happened before.
        let answer = if !pod["metadata"]["deletionTimestamp"].is_null() {
            self.lives.end(self.place, |life| *uid == *life.uid);
            let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
            self.client.send(Method::DELETE, &path, Some(&options)).await
        } else {
            let address = self.lives.begin(self.place, &key.to_string(), uid.as_str().unwrap_or_default());
            if is_ready(pod) && pod["status"]["podIP"] == address.to_string() {
                return true;
            }
            let now = api::time::format(self.surroundings.now());
            let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
            let conditions: Vec<Value> =
                ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
            let status = json!({
                "phase": "Running", "conditions": conditions, "hostIP": address_of(self.place),
                "podIP": address, "podIPs": [{"ip": address}],
            });
            let status = json!({"metadata": {"uid": uid}, "status": status});
            self.client.send(Method::PATCH, &format!("{path}/status"), Some(&status)).await
        };
        // Gone, or another one by now: the cache will say so.
        matches!(answer, Answer::Done(_) | Answer::Refused(404 | 409, _))
    }
}

/// Whether a pod runs and says that it is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    pod["status"]["phase"] == "Running" && ready.any(|condition| condition["status"] == "True")
}
