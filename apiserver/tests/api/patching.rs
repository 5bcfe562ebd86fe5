//! The patches of the API, on objects as they are.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment() -> Value {
    let container = |name: &str| json!({ "name": name, "image": "i:1" });
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [container("a"), container("b")] },
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn json_patches_and_merge_patches() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("p", "1")).await.expect(201);
    let path = config_map_path("p");
    let json_patch = async |patch: Value| api.send(Method::PATCH, &path, "application/json-patch+json", patch).await;
    let added = json_patch(json!([{ "op": "add", "path": "/data/b", "value": "2" }])).await.expect(200);
    assert_eq!(added["data"], json!({ "a": "1", "b": "2" }));
    let message = json_patch(json!([{ "op": "test", "path": "/data/a", "value": "9" }])).await.refusal(422);
    assert_eq!(message, "the server rejected our request due to an error in our request");
    let removed = api.merge(&path, &json!({ "data": { "b": null } })).await.expect(200);
    assert_eq!(removed["data"], json!({ "a": "1" }));
    let old = json!({ "metadata": { "resourceVersion": "1" }, "data": { "a": "2" } });
    assert_eq!(api.merge(&path, &old).await.code, 409);
    assert_eq!(api.send(Method::PATCH, &path, "text/plain", "{}").await.code, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategic_patch_merges_lists_by_key_and_the_generation_follows_the_spec() {
    let api = Fixture::start().await;
    let made = api.post(DEPLOYMENTS, &deployment()).await.expect(201);
    assert_eq!(made["metadata"]["generation"], 1);
    let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "b", "image": "i:2" }] } } } });
    let path = format!("{DEPLOYMENTS}/web");
    let patched = api.send(Method::PATCH, &path, "application/strategic-merge-patch+json", patch).await.expect(200);
    let images: Vec<_> = patched["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["image"].clone())
        .collect();
    assert_eq!(images, ["i:1", "i:2"]);
    assert_eq!(patched["metadata"]["generation"], 2);
    let status = json!({ "spec": { "replicas": 9 }, "status": { "replicas": 2, "observedGeneration": 2 } });
    let status = api.merge(&format!("{path}/status"), &status).await.expect(200);
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&2.into(), &2.into()));
    assert_eq!(status["metadata"]["generation"], 2);
    let main = api.merge(&path, &json!({ "status": { "replicas": 7 } })).await.expect(200);
    assert_eq!(main["status"]["replicas"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_changes_the_count_alone() {
    let api = Fixture::start().await;
    api.post(DEPLOYMENTS, &deployment()).await.expect(201);
    let path = format!("{DEPLOYMENTS}/web/scale");
    let scale = api.get(&path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&"Scale".into(), &2.into()));
    assert_eq!(scale["status"]["selector"], "app=web");
    let scaled = api.merge(&path, &json!({ "spec": { "replicas": 5 } })).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 5);
    let web = api.get(&format!("{DEPLOYMENTS}/web")).await.expect(200);
    assert_eq!((&web["spec"]["replicas"], &web["metadata"]["generation"]), (&5.into(), &2.into()));
    assert_eq!(api.put(&path, &scale).await.code, 409, "the old revision");
}
