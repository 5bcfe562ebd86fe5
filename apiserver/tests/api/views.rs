//! Objects of an old group version are those of the present one in another envelope.

use serde_json::{Value, json};

use crate::harness::Fixture;

const OLD: &str = "/apis/extensions/v1beta1/namespaces/default/deployments";
const NEW: &str = "/apis/apps/v1/namespaces/default/deployments";

fn manifest() -> Value {
    json!({
        "apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "template": {
            "metadata": { "labels": { "run": "web" } },
            "spec": { "containers": [{ "name": "c", "image": "web:1" }] },
        } },
    })
}

#[tokio::test]
async fn an_object_is_seen_alike_through_both_group_versions() {
    let api = Fixture::start().await;
    let created = api.post(OLD, &manifest()).await;
    assert!(created.warnings.iter().any(|warning| warning.contains("deprecated")));
    assert_eq!(created.expect(201)["apiVersion"], "extensions/v1beta1");

    let present = api.get(&format!("{NEW}/web")).await.expect(200);
    assert_eq!(present["apiVersion"], "apps/v1");
    assert_eq!(present["spec"]["selector"], json!({ "matchLabels": { "run": "web" } }));
    let revision = present["metadata"]["resourceVersion"].as_str().unwrap().to_owned();

    let mut old_events = api.watch(&format!("{OLD}?watch=1&resourceVersion={revision}")).await;
    let mut new_events = api.watch(&format!("{NEW}?watch=1&resourceVersion={revision}")).await;
    let scaled = api.merge(&format!("{OLD}/web"), &json!({ "spec": { "replicas": 4 } })).await.expect(200);
    assert_eq!((&scaled["apiVersion"], &scaled["spec"]["replicas"]), (&json!("extensions/v1beta1"), &json!(4)));
    assert_eq!(old_events.next().await.unwrap()["object"]["apiVersion"], "extensions/v1beta1");
    assert_eq!(new_events.next().await.unwrap()["object"]["apiVersion"], "apps/v1");

    let same = api.merge(&format!("{NEW}/web"), &json!({ "spec": { "replicas": 4 } })).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], scaled["metadata"]["resourceVersion"], "nothing changed");

    let list = api.get(OLD).await.expect(200);
    assert_eq!(list["apiVersion"], "extensions/v1beta1");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    api.delete(&format!("{OLD}/web")).await.expect(200);
    api.get(&format!("{NEW}/web")).await.expect(404);
}

#[tokio::test]
async fn an_envelope_of_the_other_group_version_is_refused() {
    let api = Fixture::start().await;
    let refusal = api.post(NEW, &manifest()).await.refusal(400);
    assert!(refusal.contains("does not match the expected API version"), "{refusal}");
}
