//! A dry run answers as the real thing does, and nothing of it lasts.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

/// Every object of the cluster that a test may have touched.
async fn everything(api: &Fixture) -> Vec<Value> {
    let mut all = Vec::new();
    for collection in ["configmaps", "pods", "services"] {
        all.push(api.get(&format!("/api/v1/{collection}")).await.expect(200)["items"].clone());
    }
    all.push(api.get("/apis/apps/v1/deployments").await.expect(200)["items"].clone());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_can_be_tried() {
    let api = Fixture::start().await;
    api.post("/api/v1/namespaces/default/serviceaccounts", &json!({ "metadata": { "name": "default" } }))
        .await
        .expect(201);
    api.post(CONFIG_MAPS, &config_map("wet", "1")).await.expect(201);
    let mut held = config_map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(CONFIG_MAPS, &held).await.expect(201);
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    api.post(pods, &pod).await.expect(201);
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template =
        json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let deployment = json!({
        "metadata": { "name": "web" },
        "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template },
    });
    api.post(deployments, &deployment).await.expect(201);

    let binding = json!({ "target": { "kind": "Node", "name": "n" } });
    let eviction = json!({ "metadata": { "name": "p" } });
    let applied =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "wet" }, "data": { "b": "2" } });
    let scale = json!({ "spec": { "replicas": 5 } });
    let changed = json!({ "data": { "a": "2" } });
    let (merge, apply, plain) = ("application/merge-patch+json", "application/apply-patch+yaml", "application/json");
    let cases = [
        (Method::POST, CONFIG_MAPS.to_owned(), plain, config_map("dry", "1"), 201),
        (Method::POST, CONFIG_MAPS.to_owned(), plain, json!({ "metadata": { "generateName": "dry-" } }), 201),
        (Method::PUT, config_map_path("wet"), plain, config_map("wet", "2"), 200),
        (Method::PATCH, config_map_path("wet"), merge, changed, 200),
        (Method::PATCH, config_map_path("wet"), apply, applied.clone(), 200),
        (Method::PATCH, config_map_path("new"), apply, with_name(&applied, "new"), 201),
        (Method::DELETE, config_map_path("wet"), plain, Value::Null, 200),
        (Method::DELETE, config_map_path("held"), plain, Value::Null, 200),
        (Method::DELETE, CONFIG_MAPS.to_owned(), plain, Value::Null, 200),
        (Method::DELETE, format!("{pods}/p"), plain, Value::Null, 200),
        (Method::POST, format!("{pods}/p/binding"), plain, binding, 201),
        (Method::POST, format!("{pods}/p/eviction"), plain, eviction, 201),
        (Method::PATCH, format!("{pods}/p/status"), merge, json!({ "status": { "phase": "Running" } }), 200),
        (Method::PATCH, format!("{deployments}/web/scale"), merge, scale, 200),
    ];
    let before = everything(&api).await;
    for (method, path, kind, body, code) in cases {
        let path = format!("{path}?dryRun=All&fieldManager=m");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = api.send(method.clone(), &path, kind, body).await;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.text());
        assert_eq!(everything(&api).await, before, "{method} {path}");
    }
}

fn with_name(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["name"] = name.into();
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_fail_fails() {
    let api = Fixture::start().await;
    let made = api.post(CONFIG_MAPS, &config_map("one", "1")).await.expect(201);
    api.merge(&config_map_path("one"), &json!({ "data": { "a": "2" } })).await.expect(200);
    let message = api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("one", "1")).await.refusal(409);
    assert_eq!(message, "configmaps \"one\" already exists");
    assert_eq!(api.put(&format!("{}?dryRun=All", config_map_path("one")), &made).await.code, 409);
    assert_eq!(api.delete(&format!("{}?dryRun=All", config_map_path("none"))).await.code, 404);
    let service = json!({
        "metadata": { "name": "s" }, "spec": { "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }] },
    });
    let message = api.post("/api/v1/namespaces/default/services?dryRun=All", &service).await.refusal(422);
    assert!(message.contains("provided IP is already allocated"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_never_made_has_no_revision() {
    let api = Fixture::start().await;
    let made = api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("dry", "1")).await.expect(201);
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["resourceVersion"].is_null(), "{made}");
    let wet = api.post(CONFIG_MAPS, &config_map("wet", "1")).await.expect(201);
    let path = format!("{}?dryRun=All", config_map_path("wet"));
    let patched = api.merge(&path, &json!({ "data": { "a": "2" } })).await.expect(200);
    assert_eq!(patched["data"]["a"], "2");
    assert_eq!(patched["metadata"]["resourceVersion"], wet["metadata"]["resourceVersion"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_all_can_be_left_out() {
    let api = Fixture::start().await;
    let message = api.post(&format!("{CONFIG_MAPS}?dryRun=Foo"), &config_map("x", "1")).await.refusal(422);
    assert_eq!(
        message,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: []string{\"Foo\"}: supported values: \"All\""
    );
    for (method, path) in [
        (Method::PUT, config_map_path("x")),
        (Method::PATCH, config_map_path("x")),
        (Method::DELETE, config_map_path("x")),
        (Method::DELETE, CONFIG_MAPS.to_owned()),
    ] {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if method == Method::DELETE { String::new() } else { config_map("x", "1").to_string() };
        let answer = api.send(method.clone(), &format!("{path}?dryRun=Foo"), kind, body).await;
        assert_eq!(answer.code, 422, "{method} {path}");
    }
}
