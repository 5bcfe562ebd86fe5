//! What a cluster comes to when nothing disturbs it: every wish is fulfilled, and nothing is left of what went.

mod services;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use store::View;

use super::{
    lives::Life,
    node::{Nodes, is_ready},
    tale::{Object, ROOT, read},
};

/// Kinds whose objects have dependents or are some.
const LOOKED_AT: [&str; 11] = [
    "pods/",
    "apps/controllerrevisions/",
    "apps/deployments/",
    "apps/replicasets/",
    "apps/statefulsets/",
    "configmaps/",
    "discovery.k8s.io/endpointslices/",
    "endpoints/",
    "namespaces/",
    "nodes/",
    "services/",
];

/// All objects that are looked at, by key.
type Objects = BTreeMap<String, Object>;

/// Why a view is not the end state, if it is not.
pub(crate) fn missing(view: &View, nodes: &Nodes) -> Result<(), String> {
    let page = view.prefix(ROOT.as_bytes(), b"", usize::MAX, 0).map_err(|error| error.to_string())?;
    let mut objects = Objects::new();
    for row in &page.kvs {
        let key = String::from_utf8_lossy(&row.key[ROOT.len()..]).into_owned();
        if LOOKED_AT.iter().any(|kind| key.starts_with(kind)) {
            objects.insert(key, Object { revision: row.mod_revision, json: read(&row.value) });
        }
    }
    let uids: BTreeSet<&str> = objects.values().map(Object::uid).collect();
    let (lives, routes) = (nodes.lives().all(), nodes.routes().now());
    for (key, object) in &objects {
        whole(key, object, &objects, &uids).map_err(|what| format!("{key}: {what}"))?;
        let own = match key.split_once('/') {
            Some(("pods", _)) => lives_as_told(object, &lives),
            Some(("services", _)) => services::service(object, &objects, &routes),
            _ => Ok(()),
        };
        own.map_err(|what| format!("{key}: {what}"))?;
    }
    services::no_others(&objects, &routes)
}

fn of_kind<'a>(objects: &'a Objects, kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |(key, _)| key.starts_with(kind)).map(|(_, object)| object)
}

fn whole(key: &str, object: &Object, objects: &Objects, uids: &BTreeSet<&str>) -> Result<(), String> {
    if object.is_deleting() {
        return Err(format!("is still on its way out, with finalizers {}", object.json["metadata"]["finalizers"]));
    }
    let owners = object.json["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if let Some(gone) = owners.into_iter().find(|owner| !uids.contains(owner["uid"].as_str().unwrap_or_default())) {
        return Err(format!("stays though its owner {} is gone", gone["name"]));
    }
    if let Some(namespace) = object.json["metadata"]["namespace"].as_str()
        && !objects.contains_key(&format!("namespaces/{namespace}"))
    {
        return Err("stays though its namespace is gone".to_owned());
    }
    match key.split('/').collect::<Vec<_>>().as_slice() {
        ["nodes", _] => node(object),
        ["pods", ..] => pod(object, objects),
        ["apps", "replicasets", ..] => replica_set(object, objects),
        ["apps", "deployments", ..] => deployment(object, objects),
        ["apps", "statefulsets", ..] => stateful_set(object, objects),
        ["endpoints", ..] => services::endpoints(key, objects),
        _ => Ok(()),
    }
}

fn node(node: &Object) -> Result<(), String> {
    let conditions = node.json["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    let taints = &node.json["spec"]["taints"];
    if ready && taints.as_array().is_none_or(Vec::is_empty) {
        Ok(())
    } else {
        Err(format!("ready: {ready}, taints {taints}"))
    }
}

fn pod(pod: &Object, objects: &Objects) -> Result<(), String> {
    let node = pod.json["spec"]["nodeName"].as_str().unwrap_or_default();
    if !objects.contains_key(&format!("nodes/{node}")) {
        return Err(format!("is on no node: {node:?}"));
    }
    if is_ready(&pod.json) { Ok(()) } else { Err(format!("is not ready: {}", pod.json["status"])) }
}

/// What is told of a pod is what its node does.
fn lives_as_told(pod: &Object, lives: &[Life]) -> Result<(), String> {
    let told = pod.json["status"]["podIP"].as_str().unwrap_or_default();
    let mut living = lives.iter().filter(|life| life.until.is_none() && life.uid == pod.uid());
    match living.next() {
        Some(life) if life.address.to_string() == told => Ok(()),
        life => Err(format!("is said to be at {told:?}, and is {life:?}")),
    }
}

/// The fields of a status are all this number; one that is not there counts as none.
fn all_are(status: &Value, fields: &[&str], number: i64) -> Result<(), String> {
    match fields.iter().find(|field| status[**field].as_i64().unwrap_or_default() != number) {
        Some(field) => Err(format!("{field} should be {number} in {status}")),
        None => Ok(()),
    }
}

fn is_observed(object: &Object) -> Result<(), String> {
    let (seen, is) = (&object.json["status"]["observedGeneration"], &object.json["metadata"]["generation"]);
    if seen == is { Ok(()) } else { Err(format!("generation {is} is not looked at yet, but {seen}")) }
}

fn replica_set(set: &Object, objects: &Objects) -> Result<(), String> {
    is_observed(set)?;
    let own = of_kind(objects, "pods/").filter(|pod| pod.controller() == Some(set.uid())).count();
    if i64::try_from(own) != Ok(set.replicas()) {
        return Err(format!("has {own} pods where it asks for {}", set.replicas()));
    }
    all_are(&set.json["status"], &["replicas", "readyReplicas", "availableReplicas"], set.replicas())
}

fn stateful_set(set: &Object, objects: &Objects) -> Result<(), String> {
    is_observed(set)?;
    let name = |object: &Object| object.json["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let own: Vec<&Object> = of_kind(objects, "pods/").filter(|pod| pod.controller() == Some(set.uid())).collect();
    let names: BTreeSet<String> = own.iter().copied().map(name).collect();
    let wanted: BTreeSet<String> = (0..set.replicas()).map(|ordinal| format!("{}-{ordinal}", name(set))).collect();
    if names != wanted {
        return Err(format!("has the pods {names:?} where it asks for {wanted:?}"));
    }
    let image = &set.json["spec"]["template"]["spec"]["containers"][0]["image"];
    if let Some(old) = own.iter().find(|pod| pod.json["spec"]["containers"][0]["image"] != *image) {
        return Err(format!("{} is of an old template", name(old)));
    }
    let counts = ["replicas", "currentReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    all_are(&set.json["status"], &counts, set.replicas())
}

fn deployment(deployment: &Object, objects: &Objects) -> Result<(), String> {
    is_observed(deployment)?;
    let image = |object: &Object| object.json["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let own = of_kind(objects, "apps/replicasets/").filter(|set| set.controller() == Some(deployment.uid()));
    let (new, old): (Vec<_>, Vec<_>) = own.partition(|set| image(set) == image(deployment));
    if let Some(left) = old.iter().find(|set| set.replicas() > 0) {
        return Err(format!("{} pods of an old template are asked for", left.replicas()));
    }
    if new.iter().map(|set| set.replicas()).sum::<i64>() != deployment.replicas() || new.len() > 1 {
        return Err(format!(
            "{} replica sets of its template do not ask for {} pods",
            new.len(),
            deployment.replicas()
        ));
    }
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    all_are(&deployment.json["status"], &counts, deployment.replicas())
}
