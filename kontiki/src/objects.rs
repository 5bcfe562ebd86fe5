//! The few facts about nodes and pods that the commands show, read through the Kubernetes API.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A node, as `kontiki status` shows it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ready: bool,
    /// Since when that is so.
    pub(crate) since: String,
    /// Why it is not Ready, in its own words.
    pub(crate) reason: String,
    pub(crate) address: String,
    pub(crate) pod_cidr: String,
}

/// A pod, as `kontiki status` shows it.
pub(crate) struct Pod {
    pub(crate) node: String,
    pub(crate) running: bool,
}

/// All nodes.
pub(crate) async fn nodes(kube: &kube::Client) -> Result<Vec<Node>> {
    Ok(list(kube, "/api/v1/nodes").await?.iter().map(node).collect())
}

/// All pods.
pub(crate) async fn pods(kube: &kube::Client) -> Result<Vec<Pod>> {
    let pod = |pod: &Value| Pod {
        node: pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned(),
        running: pod["status"]["phase"] == "Running",
    };
    Ok(list(kube, "/api/v1/pods").await?.iter().map(pod).collect())
}

/// When each node last renewed its lease, as the lease says it.
pub(crate) async fn renewals(kube: &kube::Client) -> Result<BTreeMap<String, String>> {
    let leases = list(kube, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(leases.iter().map(|lease| (text(&lease["metadata"]["name"]), text(&lease["spec"]["renewTime"]))).collect())
}

/// The containers of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Containers {
    /// Where they run.
    pub(crate) node: String,
    /// Each one's name, id and restarts.
    pub(crate) which: String,
    /// Whether every one that is to run for ever runs.
    pub(crate) run: bool,
}

/// The containers of every pod, by its namespace, name and uid.
pub(crate) async fn containers(kube: &kube::Client) -> Result<BTreeMap<String, Containers>> {
    Ok(list(kube, "/api/v1/pods").await?.iter().map(containers_of).collect())
}

fn containers_of(pod: &Value) -> (String, Containers) {
    let (meta, spec) = (&pod["metadata"], &pod["spec"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    let one = |status: &Value| {
        format!("{} {} restarts={}", text(&status["name"]), text(&status["containerID"]), status["restartCount"])
    };
    let pod = format!("{}/{} {}", text(&meta["namespace"]), text(&meta["name"]), text(&meta["uid"]));
    let containers = Containers {
        node: text(&spec["nodeName"]),
        which: statuses.iter().map(one).collect::<Vec<_>>().join(", "),
        run: spec["restartPolicy"] != "Always" || statuses.iter().all(|status| !status["state"]["running"].is_null()),
    };
    (pod, containers)
}

async fn list(kube: &kube::Client, path: &str) -> Result<Vec<Value>> {
    let request = http::Request::get(path).body(Vec::new())?;
    let mut found: Value = kube.request(request).await.with_context(|| format!("cannot list {path}"))?;
    match found["items"].take() {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(Vec::new()),
        other => anyhow::bail!("{path} has items that are no list: {other}"),
    }
}

fn node(node: &Value) -> Node {
    let entries = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ready = entries(&node["status"]["conditions"]).into_iter().find(|condition| condition["type"] == "Ready");
    let address = entries(&node["status"]["addresses"]).into_iter().find(|address| address["type"] == "InternalIP");
    Node {
        name: text(&node["metadata"]["name"]),
        ready: ready.as_ref().is_some_and(|condition| condition["status"] == "True"),
        since: ready.as_ref().map_or(String::new(), |condition| text(&condition["lastTransitionTime"])),
        reason: ready.map_or("it has not reported".into(), |condition| text(&condition["message"])),
        address: address.map_or(String::new(), |address| text(&address["address"])),
        pod_cidr: text(&node["spec"]["podCIDR"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_ready_only_when_it_says_so() {
        let with = |conditions: Value| node(&json!({"metadata": {"name": "w1"}, "status": {"conditions": conditions}}));
        assert!(with(json!([{"type": "Ready", "status": "True"}])).ready);
        assert!(!with(json!([{"type": "Ready", "status": "Unknown"}])).ready);
        assert!(!with(json!([])).ready);
        assert_eq!(with(json!([{"type": "Ready", "status": "False", "message": "no routes"}])).reason, "no routes");
    }
}
