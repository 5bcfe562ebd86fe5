//! A namespace says how much its pods may dare.

use serde_json::{Value, json};

use crate::harness::Fixture;

async fn namespace(api: &Fixture, name: &str, labels: Value) {
    api.post("/api/v1/namespaces", &json!({ "metadata": { "name": name, "labels": labels } })).await.expect(201);
    let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
    api.post(&accounts, &json!({ "metadata": { "name": "default" } })).await.expect(201);
}

fn pod(name: &str, context: Value) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "a": "b" } },
        "spec": { "containers": [{ "name": "c", "image": "i", "securityContext": context }] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_dare_too_much_are_refused_and_others_warned_of() {
    let api = Fixture::start().await;
    let label = |mode: &str, level: &str| json!({ (format!("pod-security.kubernetes.io/{mode}")): level });
    namespace(&api, "free", json!({})).await;
    namespace(&api, "base", label("enforce", "baseline")).await;
    namespace(&api, "told", label("warn", "baseline")).await;
    let bold = pod("bold", json!({ "privileged": true }));
    let violation =
        "PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)";
    let post =
        async |namespace: &str, pod: &Value| api.post(&format!("/api/v1/namespaces/{namespace}/pods"), pod).await;
    post("free", &bold).await.expect(201);
    assert_eq!(post("base", &bold).await.refusal(403), format!("pods \"bold\" is forbidden: violates {violation}"));
    post("base", &pod("meek", json!({}))).await.expect(201);
    let told = post("told", &bold).await;
    told.expect(201);
    assert_eq!(told.warnings, [format!("299 - \"would violate {}\"", violation.replace('"', "\\\""))]);
    // What makes pods is told of, and not refused: its pods will be.
    let deployment = json!({
        "metadata": { "name": "web" },
        "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": bold },
    });
    let told = api.post("/apis/apps/v1/namespaces/told/deployments", &deployment).await;
    told.expect(201);
    assert_eq!(told.warnings.len(), 1);
    let quiet = api.post("/apis/apps/v1/namespaces/base/deployments", &deployment).await;
    quiet.expect(201);
    assert!(quiet.warnings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_nobody_can_read_is_refused() {
    let api = Fixture::start().await;
    let labels = json!({ "pod-security.kubernetes.io/enforce": "odd", "pod-security.kubernetes.io/warn-version": "1" });
    let namespace = json!({ "metadata": { "name": "n", "labels": labels } });
    let message = api.post("/api/v1/namespaces", &namespace).await.refusal(422);
    assert!(message.contains("Invalid value: \"odd\": must be one of privileged, baseline, restricted"), "{message}");
    assert!(message.contains("Invalid value: \"1\": must be \"latest\" or \"v1.x\""), "{message}");
}
