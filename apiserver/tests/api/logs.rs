//! Logs come from the agent of the pod's node, whichever master is asked.

use serde_json::{Value, json};

use crate::harness::Fixture;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn bound_pod(api: &Fixture, name: &str, containers: Value) {
    let spec = json!({ "containers": containers, "nodeName": "one" });
    api.post(PODS, &json!({ "metadata": { "name": name }, "spec": spec })).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_passed_through_with_their_options() {
    let api = Fixture::start().await;
    api.post("/api/v1/namespaces/default/serviceaccounts", &json!({ "metadata": { "name": "default" } }))
        .await
        .expect(201);
    api.post("/api/v1/nodes", &json!({ "metadata": { "name": "one" } })).await.expect(201);
    let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.1.2.3" }] } });
    api.merge("/api/v1/nodes/one/status", &status).await.expect(200);
    bound_pod(&api, "single", json!([{ "name": "c", "image": "i" }])).await;
    bound_pod(&api, "twins", json!([{ "name": "a", "image": "i" }, { "name": "b", "image": "i" }])).await;

    let log = api.get(&format!("{PODS}/single/log?tailLines=3&timestamps=true")).await;
    assert_eq!(log.text(), "one 10.1.2.3:10250 /containerLogs/default/single/c?tailLines=3&timestamps=true\n");
    let log = api.get(&format!("{PODS}/twins/log?container=b")).await;
    assert_eq!(log.text(), "one 10.1.2.3:10250 /containerLogs/default/twins/b?\n");
    let message = api.get(&format!("{PODS}/twins/log")).await.refusal(400);
    assert_eq!(message, "a container name must be specified for pod twins, choose one of: [a b]");
    let message = api.get(&format!("{PODS}/twins/log?container=x")).await.refusal(400);
    assert_eq!(message, "container x is not valid for pod twins");
    let message = api.get(&format!("{PODS}/single/log?sinceTime=refuse")).await.refusal(400);
    assert!(message.starts_with("one 10.1.2.3:10250"), "the agent's own words: {message}");
    assert_eq!(api.get(&format!("{PODS}/nobody/log")).await.code, 404);
}
