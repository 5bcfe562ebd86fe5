//! One `check` for all plugins: nodes and pods as YAML in, the decision as text out.

use std::fmt::Write;
use std::sync::Arc;

use client::source::wire::stored_object;
use expect_test::Expect;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::Value;

use crate::cycle::schedule;
use crate::facts::{node_facts, pod_facts};
use crate::plugin::Candidate;
use crate::snapshot::{Placed, Snapshot};

/// Given these objects, the pods without a node are placed like this, one after another in the order given.
#[track_caller]
pub(crate) fn check(given: &str, expect: Expect) {
    let mut snapshot = Snapshot::default();
    let mut waiting = Vec::new();
    for text in given.split("\n---\n").filter(|text| !text.trim().is_empty()) {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        if value["kind"] == "Node" {
            let node: Node = serde_json::from_value(value).unwrap();
            let facts = node_facts(&node);
            let name = facts.name.clone();
            snapshot.set_node(&name, Some(Arc::new(facts)));
        } else {
            let (uid, placed, pod) = pod(value);
            if placed.facts.node.is_empty() {
                waiting.push((uid, placed, pod));
            } else {
                snapshot.observe(&uid, Some(placed));
            }
        }
    }
    let mut actual = String::new();
    for (uid, placed, pod) in waiting {
        let spec = pod.spec.clone().unwrap();
        let candidate = Candidate { uid: &uid, placed: placed.clone(), spec: &spec };
        match schedule(&candidate, &snapshot, 0) {
            Ok(decision) => {
                writeln!(actual, "{uid} -> {} of {}", decision.node, decision.feasible).unwrap();
                snapshot.assume(&uid, &decision.node, placed);
            }
            Err(why) => writeln!(actual, "{uid}: {why}").unwrap(),
        }
    }
    expect.assert_eq(&actual);
}

fn pod(mut value: Value) -> (String, Placed, Pod) {
    let name = value["metadata"]["name"].as_str().unwrap().to_owned();
    value["metadata"]["uid"] = name.clone().into();
    value["metadata"]["resourceVersion"] = "1".into();
    if value["metadata"]["namespace"].is_null() {
        value["metadata"]["namespace"] = "default".into();
    }
    if value["spec"]["containers"].is_null() {
        value["spec"]["containers"] = serde_json::json!([]);
    }
    let object = stored_object(&value.to_string()).unwrap();
    let pod: Pod = serde_json::from_value(value).unwrap();
    let facts = Arc::new(pod_facts(&object, &pod));
    let header = object.header();
    (name, Placed { namespace: header.namespace.clone(), labels: header.labels.clone().into(), facts }, pod)
}
