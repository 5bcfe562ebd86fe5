//! Everybody owns what they apply.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, CONFIG_MAPS, Fixture, config_map, config_map_path};

async fn apply(api: &Fixture, name: &str, manager: &str, data: Value) -> Answer {
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data });
    let path = format!("{}?{manager}", config_map_path(name));
    api.send(Method::PATCH, &path, "application/apply-patch+yaml", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_name_the_owner_and_force_takes_over() {
    let api = Fixture::start().await;
    let made = apply(&api, "ssa1", "fieldManager=a", json!({ "k": "1", "own": "1" })).await.expect(201);
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&"a".into(), &"Apply".into()));
    let again = apply(&api, "ssa1", "fieldManager=a", json!({ "k": "1", "own": "1" })).await.expect(200);
    assert_eq!(again, made, "nothing changed");
    let conflict = apply(&api, "ssa1", "fieldManager=b", json!({ "k": "2" })).await;
    assert_eq!(conflict.refusal(409), "Apply failed with 1 conflict: conflict with \"a\": .data.k");
    let forced = apply(&api, "ssa1", "fieldManager=b&force=true", json!({ "k": "2" })).await.expect(200);
    assert_eq!(forced["data"], json!({ "k": "2", "own": "1" }));
    let dropped = apply(&api, "ssa1", "fieldManager=a", json!({})).await.expect(200);
    assert_eq!(dropped["data"], json!({ "k": "2" }));
    let message = apply(&api, "ssa1", "", json!({})).await.refusal(422);
    assert_eq!(
        message,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_says_why() {
    let api = Fixture::start().await;
    let made = apply(&api, "x", "fieldManager=a", json!({ "k": "1" })).await.expect(201);
    let cases = [
        (json!({ "apiVersion": "v2", "kind": "ConfigMap" }), 400, {
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"
        }),
        (json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "y" } }), 400, {
            "the name of the object (y) does not match the name on the URL (x)"
        }),
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "managedFields": made["metadata"]["managedFields"] } }),
            400,
            { "metadata.managedFields must be nil" },
        ),
        (json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "uid": "u" } }), 409, {
            "Operation cannot be fulfilled on configmaps \"x\": Precondition failed: UID in precondition: u, UID in object meta: "
        }),
    ];
    for (body, code, message) in cases {
        let path = format!("{}?fieldManager=a", config_map_path("x"));
        let told = api.send(Method::PATCH, &path, "application/apply-patch+yaml", &body).await.refusal(code);
        assert!(told.starts_with(message), "{told}");
    }
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "uid": "u" } });
    let path = format!("{}?fieldManager=a", config_map_path("none"));
    assert_eq!(
        api.send(Method::PATCH, &path, "application/apply-patch+yaml", &body).await.refusal(409),
        "Operation cannot be fulfilled on configmaps \"none\": uid mismatch: the provided object specified uid u, and no existing object was found"
    );
    for force in ["force=true", "force=false"] {
        let message = api.merge(&format!("{}?{force}", config_map_path("x")), &json!({})).await.refusal(422);
        assert!(message.ends_with("force: Forbidden: may not be specified for non-apply patch"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_leaves_its_manager() {
    let api = Fixture::start().await;
    let made = api.post(&format!("{CONFIG_MAPS}?fieldManager=me"), &config_map("m", "1")).await.expect(201);
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&"me".into(), &"Update".into()));
    assert_eq!(entry["fieldsV1"], json!({ "f:data": { ".": {}, "f:a": {} } }));
    let patched = api.merge(&config_map_path("m"), &json!({ "data": { "b": "2" } })).await.expect(200);
    let managers: Vec<_> =
        patched["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| entry["manager"].clone()).collect();
    assert_eq!(managers, ["me", "test"], "the program's name where no manager is named");
}
