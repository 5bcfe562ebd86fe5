//! What is refused is refused in Kubernetes' words.

use http::Method;
use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_fit_say_why() {
    let api = Fixture::start().await;
    let post = async |body: String| api.send(Method::POST, CONFIG_MAPS, "application/json", body).await;
    let namespace = json!({ "metadata": { "name": "x", "namespace": "other" } }).to_string();
    assert_eq!(
        post(namespace).await.refusal(400),
        "the namespace of the provided object does not match the namespace sent on the request"
    );
    let message = post(json!({ "metadata": {} }).to_string()).await.refusal(422);
    assert_eq!(message, "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required");
    let large = json!({ "metadata": { "name": "x" }, "data": { "a": "x".repeat(4 << 20) } });
    assert_eq!(post(large.to_string()).await.refusal(413), "Request entity too large: limit is 3145728");
    let text = api.send(Method::POST, CONFIG_MAPS, "text/plain", "{}").await;
    assert!(text.refusal(415).starts_with("the body of the request was in an unknown format"));
    api.post(CONFIG_MAPS, &config_map("g1", "1")).await.expect(201);
    let message = api.put(&config_map_path("g1"), &config_map("zz", "1")).await.refusal(400);
    assert_eq!(message, "the name of the object (zz) does not match the name on the URL (g1)");
    assert_eq!(
        api.put(&config_map_path("nope"), &config_map("nope", "1")).await.refusal(404),
        "configmaps \"nope\" not found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_that_cannot_be_read() {
    let api = Fixture::start().await;
    for (query, message) in [
        ("labelSelector=a%20in%20b", "unable to parse requirement: found 'b' expected: '('"),
        ("fieldSelector=spec.foo%3D1", "field label not supported: spec.foo"),
    ] {
        assert_eq!(api.get(&format!("{CONFIG_MAPS}?{query}")).await.refusal(400), message);
        assert_eq!(api.get(&format!("{CONFIG_MAPS}?watch=1&{query}")).await.refusal(400), message);
        assert_eq!(api.delete(&format!("{CONFIG_MAPS}?{query}")).await.refusal(400), message);
    }
}
