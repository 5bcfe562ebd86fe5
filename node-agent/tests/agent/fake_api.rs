//! The Kubernetes API as far as an agent uses it: objects by path in memory, with watches. It checks nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body as Answer;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<(String, String)>,
}

#[derive(Default)]
struct State {
    /// Path of the object to the object.
    objects: BTreeMap<String, Value>,
    revision: u64,
}

impl FakeApi {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), changes: broadcast::Sender::new(4096) }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// The reasons of all Events about the object of that name.
    pub(crate) fn reasons(&self, name: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let events = state.objects.iter().filter(|(path, _)| path.contains("/events/")).map(|(_, event)| event);
        let about = events.filter(|event| event["involvedObject"]["name"] == name);
        about.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Creates an object in the collection at `path`.
    pub(crate) fn create(&self, path: &str, mut object: Value) -> Value {
        let name = match object["metadata"]["name"].as_str() {
            Some(name) => name.to_owned(),
            None => format!("generated-{}", self.state.lock().unwrap().revision),
        };
        object["metadata"]["name"] = json!(name);
        if let Some((_, rest)) = path.split_once("/namespaces/") {
            object["metadata"]["namespace"] = json!(rest.split('/').next());
        }
        object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        if path.ends_with("/nodes") {
            object["spec"]["podCIDR"] = json!("10.244.7.0/24");
            object["spec"]["podCIDRs"] = json!(["10.244.7.0/24"]);
        }
        self.put(&format!("{path}/{name}"), object, "ADDED")
    }

    /// Merges `patch` into the object at `path`.
    pub(crate) fn patch(&self, path: &str, patch: &Value) -> Option<Value> {
        let mut object = self.get(path)?;
        merge(&mut object, patch);
        Some(self.put(path, object, "MODIFIED"))
    }

    /// Deletes as the API does with pods: only marks a running one.
    pub(crate) fn delete_gracefully(&self, path: &str, seconds: i64) {
        let stamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mark = json!({ "metadata": { "deletionTimestamp": stamp, "deletionGracePeriodSeconds": seconds } });
        self.patch(path, &mark).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) -> Option<Value> {
        let object = self.state.lock().unwrap().objects.get(path).cloned()?;
        self.put(path, object.clone(), "DELETED");
        Some(object)
    }

    fn put(&self, path: &str, mut object: Value, kind: &str) -> Value {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        match kind {
            "DELETED" => state.objects.remove(path),
            _ => state.objects.insert(path.to_owned(), object.clone()),
        };
        let event = json!({ "type": kind, "object": object }).to_string();
        self.changes.send((path.to_owned(), event)).ok();
        object
    }

    async fn serve(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let answer = match parts.method {
            Method::GET if query.contains("watch=true") => return self.watch(path),
            Method::GET if is_collection(path) => Some(self.list(path)),
            Method::GET => self.get(path),
            Method::POST if path.ends_with("/token") => Some(json!({
                "spec": {}, "status": { "token": "a-token", "expirationTimestamp": "2100-01-01T00:00:00Z" }
            })),
            Method::POST => Some(self.create(path, body)),
            Method::PATCH => self.patch(path.trim_end_matches("/status"), &body),
            Method::DELETE => self.remove(path),
            _ => None,
        };
        let missing = || {
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found",
                "reason": "NotFound", "code": 404 })
        };
        let code = if answer.is_some() { 200 } else { 404 };
        let text = answer.unwrap_or_else(missing).to_string();
        Response::builder().status(code).body(Answer::from(text)).unwrap()
    }

    fn list(&self, path: &str) -> Value {
        let state = self.state.lock().unwrap();
        let items: Vec<&Value> =
            state.objects.iter().filter(|(of, _)| is_in(path, of)).map(|(_, object)| object).collect();
        json!({ "kind": "List", "apiVersion": "v1",
            "metadata": { "resourceVersion": state.revision.to_string() }, "items": items })
    }

    fn watch(&self, path: &str) -> Response<Answer> {
        let path = path.to_owned();
        let changes = BroadcastStream::new(self.changes.subscribe()).filter_map(move |change| {
            let (of, event) = change.unwrap();
            let frame = is_in(&path, &of).then(|| Bytes::from(format!("{event}\n")));
            std::future::ready(frame.map(|bytes| Ok::<_, Infallible>(hyper::body::Frame::data(bytes))))
        });
        Response::new(Answer::new(StreamBody::new(changes)))
    }
}

const COLLECTIONS: [&str; 5] = ["endpointslices", "events", "nodes", "pods", "services"];

fn is_collection(path: &str) -> bool {
    COLLECTIONS.contains(&path.rsplit('/').next().unwrap_or_default())
}

/// Whether the object at `of` belongs to the collection at `path`, in one namespace or in all.
fn is_in(path: &str, of: &str) -> bool {
    let plural = path.rsplit('/').next().unwrap_or_default();
    of.rsplit('/').nth(1) == Some(plural)
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                match value {
                    Value::Null => {
                        target.remove(key);
                    }
                    value => merge(target.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
