//! A Service's addresses are its own.

use serde_json::{Value, json};

use crate::harness::Fixture;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["ports"] = json!([{ "port": 80 }]);
    json!({ "metadata": { "name": name }, "spec": spec })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_given_once_and_returns_with_its_service() {
    let api = Fixture::start().await;
    let one = api.post(SERVICES, &service("one", json!({}))).await.expect(201);
    let address = one["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96.0."), "{address}");
    let wanted = service("two", json!({ "clusterIP": address }));
    let message = api.post(SERVICES, &wanted).await.refusal(422);
    assert!(message.contains("provided IP is already allocated"), "{message}");
    let outside = api.post(SERVICES, &service("out", json!({ "clusterIP": "10.1.1.1" }))).await.refusal(422);
    assert!(outside.contains("not in the valid range"), "{outside}");
    api.delete(&format!("{SERVICES}/one")).await.expect(200);
    assert_eq!(api.post(SERVICES, &wanted).await.expect(201)["spec"]["clusterIPs"][0], address);
    let headless = api.post(SERVICES, &service("headless", json!({ "clusterIP": "None" }))).await.expect(201);
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn node_ports_come_and_go_with_the_type() {
    let api = Fixture::start().await;
    let made = api.post(SERVICES, &service("np", json!({ "type": "NodePort" }))).await.expect(201);
    let port = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port));
    let mut other = service("other", json!({ "type": "NodePort" }));
    other["spec"]["ports"][0]["nodePort"] = port.into();
    let message = api.post(SERVICES, &other).await.refusal(422);
    assert!(message.contains("provided port is already allocated"), "{message}");
    let plain = api.merge(&format!("{SERVICES}/np"), &json!({ "spec": { "type": "ClusterIP" } })).await.expect(200);
    assert!(plain["spec"]["ports"][0]["nodePort"].is_null());
    assert_eq!(plain["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    api.post(SERVICES, &other).await.expect(201);
}
