//! What is refused is refused in Kubernetes' words.

use http::{Method, Request, header};
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
async fn unknown_fields_warn_or_fail_as_the_client_likes() {
    let api = Fixture::start().await;
    let body = r#"{"metadata":{"name":"s1","foo":1},"data":{"a":"1","a":"2"},"bar":1}"#;
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let message = api.send(Method::POST, &strict, "application/json", body).await.refusal(400);
    assert!(message.contains("strict decoding error: unknown field \"metadata.foo\""), "{message}");
    let warned = api.send(Method::POST, CONFIG_MAPS, "application/json", body).await;
    assert_eq!(warned.expect(201)["data"]["a"], "2");
    assert_eq!(warned.warnings[0], r#"299 - "unknown field \"metadata.foo\"""#);
    assert_eq!(warned.warnings.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_lead_nowhere() {
    let api = Fixture::start().await;
    assert_eq!(api.get("/apis/nope/v1/things").await.text(), "404 page not found\n");
    let message = api.get("/api/v1/namespaces/default/things").await.refusal(404);
    assert_eq!(message, "the server could not find the requested resource");
    let request = Request::get(CONFIG_MAPS).header(header::ACCEPT, "text/html").extension(Fixture::admin());
    let answer = api.open(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 406);
    assert_eq!(api.send(Method::POST, &config_map_path("x"), "application/json", "{}").await.code, 405);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?labelSelector=a%20in%20b")).await.code, 400);
    let message = api.get(&format!("{CONFIG_MAPS}?fieldSelector=spec.foo%3D1")).await.refusal(400);
    assert_eq!(message, "field label not supported: spec.foo");
}
