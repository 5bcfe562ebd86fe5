//! Sends a plan, and decides nothing.

use std::time::Duration;

use client::cache::Key;
use client::event_recorder::Note;
use client::{EventRecorder, Resource};
use futures_util::stream::{self, StreamExt};
use http::{Method, Request, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::expectations::{Expected, What};
use super::object_path;
use crate::plan::{Act, Action, Confirm, Pace, Plan, Step, key_of};

/// Enough to fill a group commit, few enough not to crowd out others.
const CONCURRENT_ACTS: usize = 16;
/// A list page of a confirmation or a deletion of everything.
const PAGE: usize = 500;
/// The server gives up earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(70);

/// Why a plan failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// In CamelCase: the server's reason, or `Unconfirmed`.
    pub reason: String,
    /// For people.
    pub message: String,
}

pub(super) struct Applied {
    pub(super) expected: Vec<Expected>,
    pub(super) failure: Option<Failure>,
}

pub(super) async fn apply_plan(client: &kube::Client, recorder: &EventRecorder, plan: Plan) -> Applied {
    for note in plan.notes {
        recorder.record(note);
    }
    let mut applied = Applied { expected: Vec::new(), failure: None };
    for step in plan.steps {
        if applied.failure.is_some() && !step.always {
            continue;
        }
        if let Err(failure) = run_step(client, recorder, step, &mut applied.expected).await {
            applied.failure.get_or_insert(failure);
        }
    }
    applied
}

async fn run_step(
    client: &kube::Client,
    recorder: &EventRecorder,
    step: Step,
    expected: &mut Vec<Expected>,
) -> Result<(), Failure> {
    let mut acts = step.acts.into_iter();
    let mut batch = match step.pace {
        Pace::Together => acts.len(),
        Pace::SlowStart => 1,
    };
    while acts.len() > 0 {
        let now: Vec<Act> = acts.by_ref().take(batch.max(1)).collect();
        let mut outcomes =
            stream::iter(now).map(|act| run_act(client, recorder, act)).buffer_unordered(CONCURRENT_ACTS);
        let mut failure = None;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(seen) => expected.extend(seen),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        batch = batch.saturating_mul(2);
    }
    Ok(())
}

async fn run_act(client: &kube::Client, recorder: &EventRecorder, act: Act) -> Result<Option<Expected>, Failure> {
    let outcome = send(client, act.action).await;
    match (&outcome, act.on_success, act.on_failure) {
        (Ok(_), Some(note), _) => recorder.record(note),
        (Err(failure), _, Some(note)) => {
            let message = format!("{}{}", note.message, failure.message);
            recorder.record(Note { message, ..note });
        }
        _ => {}
    }
    outcome
}

async fn send(client: &kube::Client, action: Action) -> Result<Option<Expected>, Failure> {
    match action {
        Action::Create { resource, body } => {
            let path = resource.path(body["metadata"]["namespace"].as_str().unwrap_or_default());
            let made = request(client, Method::POST, &path, Some(&body)).await?;
            Ok(revision(&made).map(|what| Expected { resource, key: key_of(&made["metadata"]), what }))
        }
        Action::Patch { resource, key, subresource, patch } => {
            let path = object_path(&resource, &key, subresource);
            let made = gone_is_fine(request(client, Method::PATCH, &path, Some(&patch)).await)?;
            Ok(made.and_then(|made| revision(&made)).map(|what| Expected { resource, key, what }))
        }
        Action::Put { resource, key, subresource, body } => {
            let path = object_path(&resource, &key, subresource);
            let made = gone_is_fine(request(client, Method::PUT, &path, Some(&body)).await)?;
            Ok(made.and_then(|made| revision(&made)).map(|what| Expected { resource, key, what }))
        }
        Action::Delete { resource, key, uid, grace_seconds, foreground } => {
            delete(client, &resource, &key, (&uid, grace_seconds, foreground)).await?;
            Ok(Some(Expected { resource, key, what: What::Deleted { uid } }))
        }
        Action::DeleteAll { resource, namespace } => delete_all(client, &resource, &namespace).await.map(|()| None),
        Action::Confirm(claim) => confirm(client, claim).await.map(|()| None),
    }
}

async fn delete(
    client: &kube::Client,
    resource: &Resource,
    key: &Key,
    (uid, grace_seconds, foreground): (&str, Option<i64>, bool),
) -> Result<(), Failure> {
    let policy = if foreground { "Foreground" } else { "Background" };
    let mut options = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy, "preconditions": {"uid": uid},
    });
    if let Some(seconds) = grace_seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    let path = object_path(resource, key, "");
    match request(client, Method::DELETE, &path, Some(&options)).await {
        Ok(_) => Ok(()),
        // Another object of that name lives there: ours is gone.
        Err(kube::Error::Api(status)) if status.code == 404 || is_uid_conflict(&status.message) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_uid_conflict(message: &str) -> bool {
    message.contains("Precondition failed: UID")
}

async fn delete_all(client: &kube::Client, resource: &Resource, namespace: &str) -> Result<(), Failure> {
    let listed = request(client, Method::GET, &format!("{}?limit={PAGE}", resource.path(namespace)), None).await?;
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    let waiting = items.into_iter().filter(|item| item["metadata"]["deletionTimestamp"].is_null());
    let deletions = stream::iter(waiting).map(|item| async move {
        let uid = item["metadata"]["uid"].as_str().unwrap_or_default();
        delete(client, resource, &key_of(&item["metadata"]), (uid, None, false)).await
    });
    let outcomes: Vec<Result<(), Failure>> = deletions.buffer_unordered(CONCURRENT_ACTS).collect().await;
    outcomes.into_iter().collect()
}

async fn confirm(client: &kube::Client, claim: Confirm) -> Result<(), Failure> {
    let unconfirmed = |message: String| Err(Failure { reason: "Unconfirmed".to_owned(), message });
    match claim {
        Confirm::Empty { resource, namespace } => {
            let listed = request(client, Method::GET, &format!("{}?limit=1", resource.path(&namespace)), None).await?;
            if listed["items"].as_array().is_some_and(|items| !items.is_empty()) {
                return unconfirmed(format!("namespace {namespace} still has {resource}"));
            }
        }
        Confirm::Absent { resource, key, uid } => {
            let found = gone_is_fine(request(client, Method::GET, &object_path(&resource, &key, ""), None).await)?;
            if found.is_some_and(|found| uid.is_none_or(|uid| found["metadata"]["uid"] == *uid)) {
                return unconfirmed(format!("{resource} {key} is still there"));
            }
        }
        Confirm::Unused { key, by, uses } => {
            let listed = request(client, Method::GET, &by.path(&key.namespace), None).await?;
            let user = listed["items"].as_array().into_iter().flatten().find(|item| uses(item, &key));
            if let Some(user) = user {
                return unconfirmed(format!("{key} is used by {by} {}", key_of(&user["metadata"])));
            }
        }
        Confirm::Unclaimed { resource, by, field, values } => {
            let listed = request(client, Method::GET, &resource.path(""), None).await?;
            for item in listed["items"].as_array().into_iter().flatten() {
                let claimed = item.pointer(field).and_then(Value::as_array).into_iter().flatten();
                let clash = claimed.filter_map(Value::as_str).any(|value| values.iter().any(|ours| ours == value));
                let other = key_of(&item["metadata"]);
                if clash && other != by {
                    return unconfirmed(format!("{} is already taken by {other}", values.join(", ")));
                }
            }
        }
    }
    Ok(())
}

fn revision(object: &Value) -> Option<What> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok().map(What::Revision)
}

fn gone_is_fine(outcome: Result<Value, kube::Error>) -> Result<Option<Value>, kube::Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn request(
    client: &kube::Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, kube::Error> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .body(bytes)
        .map_err(kube::Error::HttpError)?;
    match timeout(REQUEST_TIMEOUT, client.request(request)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(kube::Error::Service("no answer in time".into())),
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self { reason: status.reason.clone(), message: status.message.clone() },
            other => Self { reason: "Unreachable".to_owned(), message: other.to_string() },
        }
    }
}
