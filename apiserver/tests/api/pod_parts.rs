//! Parts of a pod that can be changed while it runs, each through its own address and nothing else through it.

use http::Method;
use serde_json::{Value, json};

use crate::harness::Fixture;

const POD: &str = "/api/v1/namespaces/default/pods/p";

async fn start() -> (Fixture, Value) {
    let api = Fixture::start().await;
    let account = json!({ "metadata": { "name": "default" } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
    let container = json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": "1", "memory": "1Gi" } } });
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [container] } });
    let made = api.post("/api/v1/namespaces/default/pods", &pod).await.expect(201);
    (api, made)
}

async fn strategic(api: &Fixture, part: &str, spec: Value) -> crate::harness::Answer {
    let kind = "application/strategic-merge-patch+json";
    api.send(Method::PATCH, &format!("{POD}/{part}"), kind, json!({ "spec": spec })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_joins_a_pod_to_look_into_it() {
    let (api, made) = start().await;
    let debugger = json!({ "name": "d", "image": "busybox", "targetContainerName": "c", "stdin": true });
    let change = json!({ "ephemeralContainers": [debugger], "nodeName": "elsewhere" });
    let joined = strategic(&api, "ephemeralcontainers", change).await.expect(200);
    assert_eq!(joined["spec"]["ephemeralContainers"][0]["image"], "busybox");
    assert_eq!(joined["spec"]["ephemeralContainers"][0]["imagePullPolicy"], "Always");
    assert!(joined["spec"]["nodeName"].is_null(), "nothing else changes");
    assert_eq!(joined["metadata"]["generation"], made["metadata"]["generation"].as_i64().unwrap() + 1);
    let changed = json!({ "ephemeralContainers": [{ "name": "d", "image": "other" }] });
    let message = strategic(&api, "ephemeralcontainers", changed).await.refusal(422);
    assert!(message.contains("existing ephemeral containers \"d\" may not be changed"), "{message}");
    let mut without = api.get(POD).await.expect(200);
    without["spec"].as_object_mut().unwrap().remove("ephemeralContainers");
    let message = api.put(&format!("{POD}/ephemeralcontainers"), &without).await.refusal(422);
    assert!(message.contains("existing ephemeral containers \"d\" may not be removed"), "{message}");
    assert_eq!(api.get(&format!("{POD}/ephemeralcontainers")).await.expect(200)["metadata"]["name"], "p");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_resized_through_its_own_address_only() {
    let (api, made) = start().await;
    let resources = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": "2" } } }] });
    let kind = "application/strategic-merge-patch+json";
    let direct = api.send(Method::PATCH, POD, kind, json!({ "spec": resources })).await;
    assert!(direct.refusal(422).contains("pod updates may not change fields other than"));
    let resized = strategic(&api, "resize", resources).await.expect(200);
    let requests = &resized["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(requests, &json!({ "cpu": "2", "memory": "1Gi" }));
    assert_eq!(resized["metadata"]["generation"], made["metadata"]["generation"].as_i64().unwrap() + 1);
    let removed = json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": null } } }] });
    assert!(strategic(&api, "resize", removed).await.refusal(422).contains("resource requests cannot be removed"));
    let image = json!({ "containers": [{ "name": "c", "image": "other" }] });
    assert_eq!(strategic(&api, "resize", image).await.expect(200)["spec"]["containers"][0]["image"], "i");
}
