//! Users who create, change and delete things through any master, and try again as kubectl would.

mod services;

use apiserver::{MASTERS, UserInfo};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    client::{Answer, Client, LONG_PATIENCE},
    journal::{Call, Journal, Told, Verb},
};
use crate::{chance::Chance, cluster::Cluster, network::Place};
pub(crate) use services::{PORT, TARGET_PORT};

/// By this annotation a request is told from all others.
pub(crate) const MARK: &str = "simulation/mark";
const FIRST_USER: Place = 1000;
/// How often a user tries.
const TRIES: usize = 4;
/// Namespaces; the second one comes and goes.
const NAMESPACES: [&str; 2] = ["default", "blue"];
const DEPLOYMENTS: Kind = Kind { root: "/apis/apps/v1", plural: "deployments", stored: "apps/deployments" };
const REPLICA_SETS: Kind = Kind { root: "/apis/apps/v1", plural: "replicasets", stored: "apps/replicasets" };
const STATEFUL_SETS: Kind = Kind { root: "/apis/apps/v1", plural: "statefulsets", stored: "apps/statefulsets" };
const CONFIG_MAPS: Kind = Kind { root: "/api/v1", plural: "configmaps", stored: "configmaps" };

#[derive(Clone, Copy)]
struct Kind {
    root: &'static str,
    plural: &'static str,
    stored: &'static str,
}

impl Kind {
    fn path(&self, namespace: &str) -> String {
        format!("{}/namespaces/{namespace}/{}", self.root, self.plural)
    }

    fn key(&self, namespace: &str, name: &str) -> String {
        format!("/registry/{}/{namespace}/{name}", self.stored)
    }
}

/// The one of its kind in a namespace.
const STATEFUL_SET: &str = "db";

/// What is asked for, and where.
struct Ask {
    verb: Verb,
    method: Method,
    path: String,
    key: String,
    body: Option<Value>,
}

/// One user.
pub(crate) struct User {
    client: Client,
    chance: Chance,
    journal: Journal,
    id: u64,
    started: Instant,
    count: u64,
}

impl User {
    pub(crate) fn new(cluster: &Cluster, chance: Chance, journal: Journal, id: u64, started: Instant) -> Self {
        let user = UserInfo::new(format!("user-{id}"), [MASTERS]);
        let client = Client::new(cluster, chance.fork(), FIRST_USER + id, user, "kubectl").with_patience(LONG_PATIENCE);
        Self { client, chance, journal, id, started, count: 0 }
    }

    /// Works until told to stop; what is under way then is finished.
    pub(crate) async fn run(&mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::time::sleep(self.chance.millis(100..1000)).await;
            if self.chance.one_in(15) {
                self.client.turn_away();
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let namespace = NAMESPACES[usize::from(self.chance.one_in(4))];
        let web = format!("web{}", self.chance.below(3));
        match self.chance.below(24) {
            0..3 => self.deploy(namespace, &web).await,
            3..5 => self.scale(DEPLOYMENTS, namespace, &web).await,
            5..8 => self.set_image(DEPLOYMENTS, namespace, &web).await,
            8 => self.delete(DEPLOYMENTS, namespace, &web).await,
            9 => self.replica_set(namespace).await,
            10 => self.namespace().await,
            11..13 => self.replace_config(namespace).await,
            13 => {
                let name = format!("c{}", self.chance.below(3));
                self.delete(CONFIG_MAPS, namespace, &name).await;
            }
            14 => self.create_config(namespace).await,
            15..17 => self.stateful_set(namespace).await,
            17 => self.scale(STATEFUL_SETS, namespace, STATEFUL_SET).await,
            18 => self.set_image(STATEFUL_SETS, namespace, STATEFUL_SET).await,
            19 => drop(self.list(CONFIG_MAPS, namespace).await),
            _ => self.service(namespace).await,
        }
    }

    async fn deploy(&mut self, namespace: &str, name: &str) {
        let (replicas, image) = (self.chance.below(5), self.image());
        let labels = json!({"app": name});
        let template = template(name, json!({"containers": [{"name": "c", "image": image}]}));
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        self.create(DEPLOYMENTS, namespace, name, json!({"spec": spec})).await;
    }

    async fn replica_set(&mut self, namespace: &str) {
        let name = "alone";
        if self.chance.one_in(3) {
            return self.delete(REPLICA_SETS, namespace, name).await;
        }
        let template = template(name, json!({"containers": [{"name": "c", "image": "v1"}]}));
        let spec = json!({
            "replicas": self.chance.below(4), "selector": {"matchLabels": {"app": name}}, "template": template,
        });
        self.create(REPLICA_SETS, namespace, name, json!({"spec": spec})).await;
    }

    async fn stateful_set(&mut self, namespace: &str) {
        if self.chance.one_in(5) {
            return self.delete(STATEFUL_SETS, namespace, STATEFUL_SET).await;
        }
        // A short grace is over while there still is trouble.
        let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": self.image()}]});
        let policy = if self.chance.one_in(3) { "Parallel" } else { "OrderedReady" };
        let spec = json!({
            "replicas": self.chance.below(4), "serviceName": "peers", "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": STATEFUL_SET}}, "template": template(STATEFUL_SET, pod),
        });
        self.create(STATEFUL_SETS, namespace, STATEFUL_SET, json!({"spec": spec})).await;
    }

    async fn create_config(&mut self, namespace: &str) {
        let name = format!("c{}", self.chance.below(3));
        self.create(CONFIG_MAPS, namespace, &name, json!({})).await;
    }

    async fn namespace(&mut self) {
        let (path, name) = ("/api/v1/namespaces".to_owned(), NAMESPACES[1]);
        let key = format!("/registry/namespaces/{name}");
        let ask = if self.chance.one_in(3) {
            Ask { verb: Verb::Delete, method: Method::DELETE, path: format!("{path}/{name}"), key, body: None }
        } else {
            let body = Some(json!({"metadata": {"name": name}}));
            Ask { verb: Verb::Create, method: Method::POST, path, key, body }
        };
        self.insist(ask).await;
    }

    async fn scale(&mut self, kind: Kind, namespace: &str, name: &str) {
        let replicas = self.chance.below(6);
        self.patch(kind, namespace, name, json!({"spec": {"replicas": replicas}})).await;
    }

    async fn set_image(&mut self, kind: Kind, namespace: &str, name: &str) {
        let containers = json!([{"name": "c", "image": self.image()}]);
        self.patch(kind, namespace, name, json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }

    fn image(&self) -> String {
        format!("v{}", self.chance.below(4))
    }

    async fn create(&mut self, kind: Kind, namespace: &str, name: &str, mut body: Value) {
        body["metadata"] = json!({"name": name});
        let (path, key) = (kind.path(namespace), kind.key(namespace, name));
        self.insist(Ask { verb: Verb::Create, method: Method::POST, path, key, body: Some(body) }).await;
    }

    async fn patch(&mut self, kind: Kind, namespace: &str, name: &str, body: Value) {
        let (path, key) = (format!("{}/{name}", kind.path(namespace)), kind.key(namespace, name));
        self.insist(Ask { verb: Verb::Patch, method: Method::PATCH, path, key, body: Some(body) }).await;
    }

    async fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        let policy = if self.chance.one_in(2) { "Background" } else { "Foreground" };
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
        let (path, key) = (format!("{}/{name}", kind.path(namespace)), kind.key(namespace, name));
        self.insist(Ask { verb: Verb::Delete, method: Method::DELETE, path, key, body: Some(body) }).await;
    }

    /// Reads, changes and writes what was read.
    async fn replace_config(&mut self, namespace: &str) {
        let found = self.list(CONFIG_MAPS, namespace).await;
        let ours = found
            .into_iter()
            .filter(|item| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with('c')));
        let ours: Vec<Value> = ours.collect();
        if ours.is_empty() {
            return;
        }
        let object = self.chance.pick(&ours).clone();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let Some(seen) = revision(&object) else { return };
        tokio::time::sleep(self.chance.millis(0..600)).await;
        let (path, key) = (format!("{}/{name}", CONFIG_MAPS.path(namespace)), CONFIG_MAPS.key(namespace, &name));
        let ask = Ask { verb: Verb::Replace { seen }, method: Method::PUT, path, key, body: Some(object) };
        self.insist(ask).await;
    }

    async fn list(&mut self, kind: Kind, namespace: &str) -> Vec<Value> {
        let (path, key) = (kind.path(namespace), kind.key(namespace, ""));
        let ask = Ask { verb: Verb::List, method: Method::GET, path, key, body: None };
        let found = self.insist(ask).await.unwrap_or_default();
        found["items"].as_array().cloned().unwrap_or_default()
    }

    /// Asks until there is an answer that means something, a few times at most.
    async fn insist(&mut self, mut ask: Ask) -> Option<Value> {
        for _ in 0..TRIES {
            match self.ask(&mut ask).await {
                Answer::Done(body) => return Some(body),
                Answer::Refused(429, _) | Answer::Unknown => tokio::time::sleep(self.chance.millis(100..1000)).await,
                Answer::Refused(..) => return None,
            }
        }
        None
    }

    async fn ask(&mut self, ask: &mut Ask) -> Answer {
        self.count += 1;
        let mark = format!("{}.{}", self.id, self.count);
        let writes = matches!(ask.verb, Verb::Create | Verb::Replace { .. } | Verb::Patch);
        if let Some(body) = ask.body.as_mut().filter(|_| writes) {
            body["metadata"]["annotations"][MARK] = mark.as_str().into();
        }
        let began = self.started.elapsed();
        let answer = self.client.send(ask.method.clone(), &ask.path, ask.body.as_ref()).await;
        let told = match &answer {
            Answer::Done(body) => {
                let uid = [&body["metadata"]["uid"], &body["details"]["uid"]].into_iter().find_map(Value::as_str);
                Told::Done { revision: revision(body).unwrap_or_default(), uid: uid.unwrap_or_default().to_owned() }
            }
            Answer::Refused(code, reason) => Told::Refused(*code, reason.clone()),
            Answer::Unknown => Told::Unknown,
        };
        let (user, time) = (self.id, (began, self.started.elapsed()));
        self.journal.add(Call { user, time, verb: ask.verb, key: ask.key.clone(), mark, told });
        answer
    }
}

/// What pods of an owner are made from.
fn template(owner: &str, spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": owner, services::TIER: "pods"}}, "spec": spec})
}

/// The version of an object or of a list.
pub(crate) fn revision(object: &Value) -> Option<i64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}
