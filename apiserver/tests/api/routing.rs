//! An address means one thing, and one that means nothing is told so.

use http::Method;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_lead_nowhere() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let missing = "the server could not find the requested resource";
    let not_allowed = "the server does not allow this method on the requested resource";
    let (no_page, x) = ("404 page not found\n", config_map_path("x"));
    for (method, path, code, text) in [
        (Method::GET, "/apis/nope/v1/things", 404, no_page),
        (Method::GET, "/apis/apps/v9/deployments", 404, no_page),
        (Method::GET, "/nowhere", 404, no_page),
        (Method::GET, "/api/v1/namespaces/default/things", 404, missing),
        (Method::GET, "/apis/apps/v1/namespaces/default/pods", 404, missing),
        (Method::GET, "/api/v1/configmaps/x", 404, missing),
        (Method::GET, "/api/v1/namespaces/default/nodes", 404, missing),
        (Method::GET, &format!("{x}/nothing"), 404, missing),
        (Method::GET, &format!("{x}/status/more"), 404, missing),
        (Method::POST, "/api/v1/configmaps", 405, not_allowed),
        (Method::DELETE, "/api/v1/configmaps", 405, not_allowed),
        (Method::POST, &x, 405, not_allowed),
        (Method::PUT, CONFIG_MAPS, 405, not_allowed),
        (Method::DELETE, "/api/v1/namespaces", 405, not_allowed),
        (Method::POST, "/apis", 405, not_allowed),
    ] {
        let answer = api.send(method.clone(), path, "application/json", "{}").await;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.text());
        let told = if text == no_page { answer.text() } else { answer.refusal(code) };
        assert_eq!(told, text, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_alone_can_be_watched() {
    let api = Fixture::start().await;
    for name in ["x", "y"] {
        api.post(CONFIG_MAPS, &config_map(name, "1")).await.expect(201);
    }
    for path in [
        "/api/v1/watch/namespaces/default/configmaps/y".to_owned(),
        format!("{CONFIG_MAPS}?watch&fieldSelector=metadata.name%3Dy"),
        format!("{CONFIG_MAPS}?watch=True&fieldSelector=metadata.name%3Dy"),
    ] {
        assert_eq!(api.watch(&path).await.summary().await, "ADDED y 1", "{path}");
    }
    let list = api.get(&format!("{CONFIG_MAPS}?watch=False&fieldSelector=metadata.name%3Dy")).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_namespace_forgets_the_one_it_names() {
    let api = Fixture::start().await;
    let namespace = serde_json::json!({ "metadata": { "name": "a", "namespace": "b" } });
    let made = api.post("/api/v1/namespaces", &namespace).await.expect(201);
    assert!(made["metadata"]["namespace"].is_null());
}
