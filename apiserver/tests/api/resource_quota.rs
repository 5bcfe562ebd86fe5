//! Nobody uses more of a namespace than its quotas allow, however many write at once.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, SOON, config_map, config_map_path};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn quota(api: &Fixture, spec: Value) {
    api.post(QUOTAS, &json!({ "metadata": { "name": "q" }, "spec": spec })).await.expect(201);
}

/// Waits until the books say that this much is used.
async fn used(api: &Fixture, expected: Value) {
    testing::eventually(SOON, async || {
        let quota = api.get(&format!("{QUOTAS}/q")).await.json();
        if quota["status"]["used"] == expected { Ok(()) } else { Err(quota["status"].clone()) }
    })
    .await;
}

async fn account(api: &Fixture) {
    let account = json!({ "metadata": { "name": "default" } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
}

fn pod(name: &str, requests: Value) -> Value {
    let container = json!({ "name": "c", "image": "i", "resources": { "requests": requests } });
    json!({ "metadata": { "name": name }, "spec": { "containers": [container] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_what_there_is_and_no_more() {
    let api = Fixture::start().await;
    quota(&api, json!({ "hard": { "count/configmaps": "5" } })).await;
    let objects: Vec<Value> = (0..20).map(|at| config_map(&format!("c{at}"), "1")).collect();
    let answers = join_all(objects.iter().map(|object| api.post(CONFIG_MAPS, object))).await;
    let made = answers.iter().filter(|answer| answer.code == 201).count();
    assert_eq!(made, 5, "{:?}", answers.iter().map(|answer| answer.text()).collect::<Vec<_>>());
    let refused = answers.iter().find(|answer| answer.code != 201).unwrap().refusal(403);
    assert!(
        refused.contains(
            "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=5, limited: count/configmaps=5"
        ),
        "{refused}"
    );
    // The sum came with the last of the objects, not after it.
    let booked = api.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(booked["status"], json!({ "hard": { "count/configmaps": "5" }, "used": { "count/configmaps": "5" } }));
    let name = answers.iter().position(|answer| answer.code == 201).unwrap();
    api.delete(&config_map_path(&format!("c{name}"))).await.expect(200);
    used(&api, json!({ "count/configmaps": "4" })).await;
    api.post(CONFIG_MAPS, &config_map("again", "1")).await.expect(201);
    assert_eq!(api.post(CONFIG_MAPS, &config_map("more", "1")).await.code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_and_its_sum_are_one_revision() {
    let api = Fixture::start().await;
    quota(&api, json!({ "hard": { "secrets": "5" } })).await;
    used(&api, json!({ "secrets": "0" })).await;
    let made =
        api.post("/api/v1/namespaces/default/secrets", &json!({ "metadata": { "name": "s" } })).await.expect(201);
    let booked = api.get(&format!("{QUOTAS}/q")).await.expect(200);
    assert_eq!(booked["status"]["used"]["secrets"], "1");
    assert_eq!(booked["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_use_what_they_ask_for_until_they_are_over() {
    let api = Fixture::start().await;
    account(&api).await;
    quota(&api, json!({ "hard": { "pods": "2", "requests.cpu": "1" } })).await;
    let message = api.post(PODS, &pod("silent", json!({}))).await.refusal(403);
    assert_eq!(message, "pods \"silent\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    api.post(PODS, &pod("a", json!({ "cpu": "600m" }))).await.expect(201);
    let message = api.post(PODS, &pod("b", json!({ "cpu": "500m" }))).await.refusal(403);
    assert_eq!(
        message,
        "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
    let dry = format!("{PODS}?dryRun=All");
    api.post(&dry, &pod("c", json!({ "cpu": "400m" }))).await.expect(201);
    used(&api, json!({ "pods": "1", "requests.cpu": "600m" })).await;
    let resize = json!({ "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "2" } } }] } });
    let kind = "application/strategic-merge-patch+json";
    let message = api.send(Method::PATCH, &format!("{PODS}/a/resize"), kind, resize).await.refusal(403);
    assert!(message.contains("requested: requests.cpu=1400m, used: requests.cpu=600m"), "{message}");
    api.merge(&format!("{PODS}/a/status"), &json!({ "status": { "phase": "Succeeded" } })).await.expect(200);
    used(&api, json!({ "pods": "0", "requests.cpu": "0" })).await;
    api.post(PODS, &pod("b", json!({ "cpu": "1" }))).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_may_be_about_some_pods_only() {
    let api = Fixture::start().await;
    account(&api).await;
    quota(&api, json!({ "hard": { "pods": "1" }, "scopes": ["BestEffort"] })).await;
    api.post(PODS, &pod("first", json!({}))).await.expect(201);
    assert_eq!(api.post(PODS, &pod("second", json!({}))).await.code, 403);
    api.post(PODS, &pod("third", json!({ "cpu": "1" }))).await.expect(201);
    used(&api, json!({ "pods": "1" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_quota_counts_what_is_there_already() {
    let api = Fixture::start().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name, "1")).await.expect(201);
    }
    let ports = json!([{ "port": 80 }, { "port": 81, "name": "b" }, ]);
    let service = json!({ "metadata": { "name": "s" }, "spec": { "type": "ClusterIP", "ports": [ports[0]] } });
    api.post("/api/v1/namespaces/default/services", &service).await.expect(201);
    quota(&api, json!({ "hard": { "configmaps": "2", "services": "9", "services.nodeports": "0" } })).await;
    // Refused at once, whether the books are open yet or not.
    assert_eq!(api.post(CONFIG_MAPS, &config_map("c", "1")).await.code, 403);
    // The Service of the masters themselves is in this namespace as well.
    used(&api, json!({ "configmaps": "2", "services": "2", "services.nodeports": "0" })).await;
    let node_port = json!({ "spec": { "type": "NodePort" } });
    let message = api.merge("/api/v1/namespaces/default/services/s", &node_port).await.refusal(403);
    assert!(message.contains("requested: services.nodeports=1, used: services.nodeports=0"), "{message}");
    api.merge(&config_map_path("a"), &json!({ "data": { "a": "2" } })).await.expect(200);
}
