//! The pods of a large cluster on one master: how they are made, and how fast a long list of them leaves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use super::api::{CONNECTIONS, Connection, Endpoint, JSON};

/// How many pods there are.
pub const PODS: u64 = 100_000;
/// How many of them a namespace has, and a list brings.
pub const LISTED: u64 = 10_000;
/// How large a pod is as it is stored and listed.
const POD_BYTES: usize = 7 * 1024;
/// How the pods' media types are asked for.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Variables of each container; each leaves a trace in `managedFields` as well.
const VARIABLES: usize = 8;

fn collection(namespace: u64) -> String {
    format!("/api/v1/namespaces/bench-{namespace}/pods")
}

/// A pod that no scheduler of ours takes, with a note of this length.
fn pod(name: &str, note: usize) -> Bytes {
    let variables = |container: usize| -> Vec<serde_json::Value> {
        let one = |number| serde_json::json!({ "name": format!("VARIABLE_{number}"), "value": format!("value {container} {number}") });
        (0..VARIABLES).map(one).collect()
    };
    let container = |number: usize| {
        serde_json::json!({
            "name": format!("c{number}"), "image": "registry.example.com/team/image:v1.2.3", "env": variables(number),
            "ports": [{ "name": format!("p{number}"), "containerPort": 8080 + number }],
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "readinessProbe": { "httpGet": { "path": "/ready", "port": format!("p{number}") } },
        })
    };
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "labels": { "app": "web", "track": "stable" }, "annotations": { "note": "n".repeat(note) },
        },
        "spec": { "schedulerName": "nobody", "containers": [container(0), container(1)] },
    });
    Bytes::from(pod.to_string())
}

/// Makes the pods, in namespaces of [`LISTED`] each.
///
/// # Errors
/// When one cannot be made.
pub async fn fill(endpoint: &Endpoint) -> Result<()> {
    let mut connection = endpoint.connect().await?;
    for namespace in 0..PODS / LISTED {
        let body = serde_json::json!({ "metadata": { "name": format!("bench-{namespace}") } });
        connection.ask(Method::POST, "/api/v1/namespaces", body.to_string().into()).await?;
    }
    for namespace in 0..PODS / LISTED {
        let account = format!("/api/v1/namespaces/bench-{namespace}/serviceaccounts/default");
        let start = Instant::now();
        // A refusal ends no connection.
        while let Err(error) = connection.ask(Method::GET, &account, Bytes::new()).await {
            anyhow::ensure!(start.elapsed() < READY_TIMEOUT, "{error:#}");
            tokio::time::sleep(LOOK).await;
        }
    }
    let note = POD_BYTES.saturating_sub(size_without_note(&mut connection).await?);
    let mut writers = JoinSet::new();
    for writer in 0..CONNECTIONS as u64 {
        let mut connection = endpoint.connect().await?;
        writers.spawn(async move {
            for number in (writer..PODS).step_by(CONNECTIONS) {
                let body = pod(&format!("pod-{number:06}"), note);
                connection.ask(Method::POST, &collection(number / LISTED), body).await.context("making pods")?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    writers.join_all().await.into_iter().collect()
}

async fn size_without_note(connection: &mut Connection) -> Result<usize> {
    let path = collection(0);
    let size = connection.ask(Method::POST, &path, pod("probe", 0)).await?;
    connection.ask(Method::DELETE, &format!("{path}/probe"), Bytes::new()).await?;
    Ok(size)
}

/// Lists [`LISTED`] pods; how long that takes, and how large the answer is.
///
/// # Errors
/// When the list is refused.
pub async fn list(connection: &mut Connection, accept: &'static str) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let size = connection.ask_as(accept, Method::GET, &collection(1), Bytes::new()).await?;
    let whole = POD_BYTES * usize::try_from(LISTED)?;
    anyhow::ensure!(accept != JSON || size > whole / 10 * 9, "a list of {size} bytes");
    Ok((start.elapsed(), size))
}
