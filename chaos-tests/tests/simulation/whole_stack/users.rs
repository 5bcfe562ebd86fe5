//! Clients of the cluster, as programs outside of it have them: over TLS to whichever master answers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use api::surroundings::Surroundings;
use client::{Balancer, HttpSource, Masters, Resource, Selection, Source, SourceEvent, kube_client};
use futures_util::StreamExt;
use http::{Method, Request, header};
use kontiki::pki::{Leaf, Pair};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    master::{API_PORT, AUTHORITIES, MASTERS, name},
    network::dial,
};

const CONFIG_MAPS: Resource = Resource::new("", "v1", "configmaps");
const PATH: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_WRITES: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

static ADMINISTRATOR: LazyLock<Pair> = LazyLock::new(|| {
    let groups = vec![apiserver::MASTERS.to_owned()];
    let leaf = Leaf { common_name: "administrator".to_owned(), organizations: groups, client: true, ..Leaf::default() };
    AUTHORITIES.cluster.issue(&leaf).expect("a certificate")
});

/// What users did and saw. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// Name and revision, in the order of the acknowledgements of one writer after the other.
    pub(crate) acknowledged: Arc<Mutex<BTreeMap<String, i64>>>,
    /// Writes whose outcome nobody knows.
    pub(crate) unknown: Arc<Mutex<u64>>,
    /// What watchers hold: by watcher, name and revision.
    mirrors: Arc<Mutex<BTreeMap<u64, BTreeMap<String, i64>>>>,
    /// Lists that began a watch anew.
    pub(crate) lists: Arc<Mutex<u64>>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    fn violated(&self, what: String) {
        self.violations.lock().push(what);
    }

    /// What must never happen, and did.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }
}

fn address(id: u64) -> SocketAddr {
    SocketAddr::new(turmoil::lookup(name(id)), API_PORT)
}

/// A client of these masters; it ends with the token.
fn kube(masters: impl IntoIterator<Item = u64>, stop: &CancellationToken) -> kube::Client {
    let identity = Some((ADMINISTRATOR.cert.as_bytes(), ADMINISTRATOR.key.as_bytes()));
    let tls = client::tls::client_config(AUTHORITIES.cluster.cert().as_bytes(), identity).expect("a configuration");
    let addresses = masters.into_iter().map(address).collect();
    let masters = Masters::start_over(Arc::new(dial), addresses, tls, stop.clone());
    kube_client::over_balancer(Balancer::new(masters), "user")
}

async fn send(client: &kube::Client, method: Method, path: &str, body: &Value) -> Result<Value, String> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind).body(body);
    let answer = client.request::<Value>(request.expect("a request"));
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Creates one object after the other.
pub(crate) async fn write(id: u64, seen: Seen, stop: CancellationToken) -> turmoil::Result {
    let client = kube(1..=MASTERS, &stop);
    let mut last = 0;
    for number in 0_u64.. {
        let name = format!("user-{id}-{number}");
        let object = json!({"metadata": {"name": name}, "data": {"number": number.to_string()}});
        match send(&client, Method::POST, PATH, &object).await {
            Ok(made) => {
                let revision = revision(&made);
                if revision <= last {
                    seen.violated(format!("{name} has revision {revision}, after {last} was acknowledged"));
                }
                last = revision;
                seen.acknowledged.lock().insert(name, revision);
            }
            Err(_) => *seen.unknown.lock() += 1,
        }
        tokio::select! { () = tokio::time::sleep(BETWEEN_WRITES) => {}, () = stop.cancelled() => break }
    }
    Ok(())
}

/// Mirrors the objects through a watch that is resumed as often as need be.
pub(crate) async fn watch(id: u64, surroundings: Surroundings, seen: Seen, stop: CancellationToken) -> turmoil::Result {
    let source = HttpSource::new(kube(1..=MASTERS, &stop)).surrounded_by(surroundings);
    let mut events = source.list_and_watch(Selection::all(CONFIG_MAPS).in_namespace("default"));
    let mut last = 0;
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        let mut mirrors = seen.mirrors.lock();
        let mirror = mirrors.entry(id).or_default();
        let now = match event {
            SourceEvent::Reset(objects, revision) => {
                *mirror = objects.iter().map(|it| (it.header().name.to_string(), it.revision())).collect();
                *seen.lists.lock() += 1;
                // A list may say again what the watch told.
                last = last.min(revision - 1);
                revision
            }
            SourceEvent::Applied(object) => {
                mirror.insert(object.header().name.to_string(), object.revision());
                object.revision()
            }
            SourceEvent::Deleted(object, revision) => {
                mirror.remove(&*object.header().name);
                revision
            }
            SourceEvent::Bookmark(revision) => {
                last = last.min(revision - 1);
                revision
            }
        };
        if now <= last {
            seen.violated(format!("watcher {id} hears of revision {now} after {last}"));
        }
        last = now;
    }
    Ok(())
}

/// Has the controllers make pods.
pub(crate) async fn deploy(replicas: u64, stop: CancellationToken) -> turmoil::Result {
    let client = kube(1..=MASTERS, &stop);
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "web"}]}});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
    let deployment = json!({"metadata": {"name": "web"}, "spec": spec});
    loop {
        match send(&client, Method::POST, DEPLOYMENTS, &deployment).await {
            Ok(_) => return Ok(()),
            Err(error) if error.contains("already exists") => return Ok(()),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Waits until everything is as it should be, and says what is not if that takes too long.
pub(crate) async fn check(pods: u64, seen: Seen, patience: Duration) -> turmoil::Result {
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let clients: Vec<_> = (1..=MASTERS).map(|id| kube([id], &stop)).collect();
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match look(&clients, pods, &seen).await {
            Ok(()) => return Ok(()),
            Err(what) if tokio::time::Instant::now() > deadline => return Err(what.into()),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

async fn look(clients: &[kube::Client], pods: u64, seen: &Seen) -> Result<(), String> {
    let mut first: Option<BTreeMap<String, i64>> = None;
    for (client, id) in clients.iter().zip(1..) {
        let of = |what: String| format!("m{id}: {what}");
        let list = send(client, Method::GET, PATH, &Value::Null).await.map_err(of)?;
        let items = list["items"].as_array().into_iter().flatten();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let objects: BTreeMap<String, i64> = items.map(|item| (name(item), revision(item))).collect();
        for (name, revision) in seen.acknowledged.lock().iter() {
            if objects.get(name) != Some(revision) {
                let found = objects.get(name);
                return Err(of(format!("{name} was acknowledged at revision {revision}, and is there as {found:?}")));
            }
        }
        for (watcher, mirror) in seen.mirrors.lock().iter() {
            if *mirror != objects {
                let (has, are) = (mirror.len(), objects.len());
                return Err(of(format!("watcher {watcher} holds {has} objects, where there are {are}, or others")));
            }
        }
        if first.get_or_insert_with(|| objects.clone()) != &objects {
            return Err(of("it shows other objects than m1".to_owned()));
        }
        let list = send(client, Method::GET, PODS, &Value::Null).await.map_err(of)?;
        let there = list["items"].as_array().map_or(0, Vec::len) as u64;
        if there != pods {
            return Err(of(format!("there are {there} pods of {pods}")));
        }
    }
    Ok(())
}
