//! Who set a field last stands in the object.

use http::{Method, Request, header};
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| [text(entry, "manager"), text(entry, "subresource")].join("/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_names_no_manager_is_known_by_its_own_name() {
    let api = Fixture::start().await;
    let (long, cut) = ("x".repeat(200), format!("{}/", "x".repeat(128)));
    for (at, (agent, manager)) in
        [("kubectl/v1.33.1 (linux)", "kubectl/"), ("curl", "curl/"), ("", "unknown/"), (&*long, &*cut)]
            .into_iter()
            .enumerate()
    {
        let request = Request::post(CONFIG_MAPS).extension(Fixture::admin()).header(header::USER_AGENT, agent);
        let body = config_map(&format!("x{at}"), "1").to_string();
        let made = api.call(request.body(axum::body::Body::from(body)).unwrap()).await.expect(201);
        assert_eq!(managers(&made), [manager]);
    }
    for (manager, complaint) in [
        ("x".repeat(129), "Too long: may not be more than 128 bytes"),
        ("a%00b".to_owned(), "Invalid value: \"a\\x00b\": should only contain printable characters"),
    ] {
        let path = format!("{CONFIG_MAPS}?fieldManager={manager}");
        let message = api.post(&path, &config_map("y", "1")).await.refusal(422);
        assert_eq!(message, format!("CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: {complaint}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_ten_managers_become_ancient() {
    let api = Fixture::start().await;
    api.post(&format!("{CONFIG_MAPS}?fieldManager=m00"), &config_map("x", "1")).await.expect(201);
    let mut last = Value::Null;
    for at in 1..=12 {
        let path = format!("{}?fieldManager=m{at:02}", config_map_path("x"));
        last = api.merge(&path, &json!({ "data": { (format!("k{at}")): "v" } })).await.expect(200);
    }
    let names = managers(&last);
    assert_eq!((names.len(), &*names[0], &*names[9]), (10, "ancient-changes/", "m12/"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_empty_entry_forgets_everybody_and_an_empty_list_nobody() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let replace = async |value: Value| {
        let patch = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": value }]);
        api.send(Method::PATCH, &config_map_path("x"), "application/json-patch+json", patch).await.expect(200)
    };
    assert_eq!(managers(&replace(json!([])).await), ["test/"]);
    assert!(managers(&replace(json!([{}])).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_has_managers_of_its_own() {
    let api = Fixture::start().await;
    let node = json!({ "metadata": { "name": "n" }, "status": { "nodeInfo": { "machineID": "a" } } });
    let made = api.post("/api/v1/nodes", &node).await.expect(201);
    assert!(!made["metadata"]["managedFields"].to_string().contains("f:status"), "{made}");
    let status = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "unschedulable": true }, "status": { "phase": "Running" } });
    let written = api.merge("/api/v1/nodes/n/status", &status).await.expect(200);
    assert!(written["spec"]["unschedulable"].is_null());
    assert!(managers(&written).contains(&"test/status".to_owned()), "{written}");
    let entries = written["metadata"]["managedFields"].as_array().unwrap();
    let own = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert!(own["fieldsV1"]["f:status"]["f:phase"].is_object() && own["fieldsV1"]["f:spec"].is_null(), "{own}");
}
