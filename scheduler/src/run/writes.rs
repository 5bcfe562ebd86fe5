//! The two writes of the scheduler: a binding, and why a pod waits.

use std::time::Duration;

use client::Key;
use http::{Method, Request, header};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::PODS;

/// The server gives up earlier.
const TIMEOUT: Duration = Duration::from_secs(70);

/// What a failed binding means for the pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The pod is gone, or bound already.
    Settled,
    /// Try again.
    Retry,
}

pub(super) async fn bind(client: &kube::Client, key: &Key, uid: &str, node: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"namespace": &*key.namespace, "name": &*key.name, "uid": uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    send(client, Method::POST, &format!("{}/{}/binding", PODS.path(&key.namespace), key.name), &binding).await
}

pub(super) fn verdict(error: &kube::Error) -> Verdict {
    match error {
        kube::Error::Api(status) if status.code == 404 => Verdict::Settled,
        kube::Error::Api(status) if status.code == 409 && status.message.contains("already assigned") => {
            Verdict::Settled
        }
        _ => Verdict::Retry,
    }
}

/// Sets the condition PodScheduled to false; nothing is written when it says so already.
pub(super) async fn explain(
    client: &kube::Client,
    key: &Key,
    pod: &Pod,
    message: &str,
    now: Timestamp,
) -> Result<(), kube::Error> {
    match condition_patch(pod, message, now) {
        Some(patch) => {
            send(client, Method::PATCH, &format!("{}/{}/status", PODS.path(&key.namespace), key.name), &patch).await
        }
        None => Ok(()),
    }
}

fn condition_patch(pod: &Pod, message: &str, now: Timestamp) -> Option<Value> {
    let mut conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let present = conditions.iter().position(|condition| condition.type_ == "PodScheduled");
    let before = present.map(|index| conditions.remove(index));
    let same = |before: &PodCondition| {
        before.status == "False"
            && before.reason.as_deref() == Some("Unschedulable")
            && before.message.as_deref() == Some(message)
    };
    if before.as_ref().is_some_and(same) {
        return None;
    }
    let since = before.filter(|before| before.status == "False").and_then(|before| before.last_transition_time);
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        ..PodCondition::default()
    });
    // The list is replaced whole, so the patch holds for this revision only.
    Some(json!({
        "metadata": {"resourceVersion": pod.metadata.resource_version},
        "status": {"conditions": conditions},
    }))
}

async fn send(client: &kube::Client, method: Method, path: &str, body: &Value) -> Result<(), kube::Error> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    match timeout(TIMEOUT, client.request::<Value>(request)).await {
        Ok(outcome) => outcome.map(drop),
        Err(_elapsed) => Err(kube::Error::Service("no answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_written_once_for_each_message() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"containers": []},
        }))
        .unwrap();
        let patch = condition_patch(&pod, "0/1 nodes", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        pod.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
        assert_eq!(condition_patch(&pod, "0/1 nodes", Timestamp::UNIX_EPOCH), None);
        assert!(condition_patch(&pod, "0/2 nodes", Timestamp::UNIX_EPOCH).is_some());
    }
}
