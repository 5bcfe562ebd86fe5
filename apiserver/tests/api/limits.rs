//! What is too large is refused, whole and early.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_end_at_three_mebibytes() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let large = json!({ "metadata": { "name": "x" }, "data": { "a": "x".repeat(3 * MIB) } }).to_string();
    for (method, path, kind) in [
        (Method::POST, CONFIG_MAPS.to_owned(), "application/json"),
        (Method::PUT, config_map_path("x"), "application/json"),
        (Method::PATCH, config_map_path("x"), "application/merge-patch+json"),
        (Method::DELETE, config_map_path("x"), "application/json"),
    ] {
        let answer = api.send(method.clone(), &path, kind, &large).await;
        assert_eq!(answer.refusal(413), "Request entity too large: limit is 3145728", "{method}");
    }
    assert_eq!(api.get(&config_map_path("x")).await.expect(200)["data"]["a"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_have_room_for_so_much_and_no_more() {
    let api = Fixture::start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let annotated =
        |bytes: usize| json!({ "metadata": { "name": "x", "annotations": { "a": "x".repeat(bytes - 1) } } });
    let data = |bytes: usize| json!({ "metadata": { "name": "y" }, "data": { "a": "x".repeat(bytes - 1) } });
    let secret = |bytes: usize| json!({ "metadata": { "name": "z" }, "stringData": { "a": "x".repeat(bytes) } });
    let cases: [(&str, Value, Value, &str); 3] = [
        (CONFIG_MAPS, annotated(256 << 10), annotated((256 << 10) + 1), {
            "metadata.annotations: Too long: may not be more than 262144 bytes"
        }),
        (CONFIG_MAPS, data(MIB), data(MIB + 1), ": Too long: may not be more than 1048576 bytes"),
        (secrets, secret(MIB), secret(MIB + 1), "data: Too long: may not be more than 1048576 bytes"),
    ];
    for (collection, fits, too_large, complaint) in cases {
        let message = api.post(collection, &too_large).await.refusal(422);
        assert!(message.contains(complaint), "{message}");
        assert_eq!(api.post(collection, &fits).await.code, 201, "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_patches_end_at_ten_thousand_operations() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let patch = |count: usize| {
        let one = json!({ "op": "test", "path": "/data/a", "value": "1" });
        Value::Array(vec![one; count])
    };
    let send =
        async |patch: Value| api.send(Method::PATCH, &config_map_path("x"), "application/json-patch+json", patch).await;
    assert_eq!(
        send(patch(10_001)).await.refusal(413),
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    send(patch(10_000)).await.expect(200);
    let copies: Vec<Value> =
        (0..40).map(|at| json!({ "op": "copy", "from": "/data", "path": format!("/data/k{at}") })).collect();
    assert_eq!(send(Value::Array(copies)).await.code, 422, "what doubles with every copy comes to an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_refused() {
    let api = Fixture::start().await;
    let deep = format!("{{\"metadata\":{{\"name\":\"x\"}},\"odd\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(api.send(Method::POST, CONFIG_MAPS, "application/json", &deep).await.code, 400);
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let kind = "application/merge-patch+json";
    assert_eq!(api.send(Method::PATCH, &config_map_path("x"), kind, &deep).await.code, 400);
}
