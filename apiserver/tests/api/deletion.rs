//! What is deleted goes at once, unless something holds it.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let api = Fixture::start().await;
    let mut held = config_map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(CONFIG_MAPS, &held).await.expect(201);
    let path = config_map_path("held");
    let pending = api.delete(&path).await.expect(200);
    assert!(pending["metadata"]["deletionTimestamp"].is_string(), "{pending}");
    let again = api.delete(&path).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], pending["metadata"]["resourceVersion"]);
    let more = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } });
    assert_eq!(api.merge(&path, &more).await.code, 422);
    api.merge(&path, &json!({ "metadata": { "finalizers": null } })).await.expect(200);
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_protect_another_object_of_the_same_name() {
    let api = Fixture::start().await;
    let made = api.post(CONFIG_MAPS, &config_map("g1", "1")).await.expect(201);
    let path = config_map_path("g1");
    let delete = async |options: Value| api.send(Method::DELETE, &path, "application/json", options).await;
    let message = delete(json!({ "preconditions": { "uid": "abc" } })).await.refusal(409);
    assert!(
        message.starts_with("Operation cannot be fulfilled on ConfigMap \"g1\": the UID in the precondition (abc)")
    );
    let gone = delete(json!({ "preconditions": { "uid": made["metadata"]["uid"] } })).await.expect(200);
    assert_eq!((&gone["status"], &gone["details"]["name"]), (&"Success".into(), &"g1".into()));
    assert_eq!(api.delete(&path).await.refusal(404), "configmaps \"g1\" not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_deleted_by_selector() {
    let api = Fixture::start().await;
    for name in ["a", "b", "c"] {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({ "keep": if name == "b" { "yes" } else { "no" } });
        api.post(CONFIG_MAPS, &object).await.expect(201);
    }
    let deleted = api.delete(&format!("{CONFIG_MAPS}?labelSelector=keep%3Dno")).await.expect(200);
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    assert_eq!(api.get(&config_map_path("a")).await.code, 404);
    assert_eq!(api.get(&config_map_path("b")).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_waits_for_its_finalizer_and_takes_nothing_new() {
    let api = Fixture::start().await;
    api.post("/api/v1/namespaces", &json!({ "metadata": { "name": "ns" } })).await.expect(201);
    let terminating = api.delete("/api/v1/namespaces/ns").await.expect(200);
    assert_eq!(terminating["status"]["phase"], "Terminating");
    let refused = api.post("/api/v1/namespaces/ns/configmaps", &config_map("late", "1")).await.expect(403);
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut odd = terminating.clone();
    odd["spec"]["finalizers"] = json!(["odd"]);
    let message = api.put("/api/v1/namespaces/ns/finalize", &odd).await.refusal(422);
    assert!(message.contains("spec.finalizers[0]: Invalid value: \"odd\""), "{message}");
    let mut released = terminating.clone();
    released["spec"]["finalizers"] = json!([]);
    api.put("/api/v1/namespaces/ns/finalize", &released).await.expect(200);
    assert_eq!(api.get("/api/v1/namespaces/ns").await.code, 404);
    let message = api.post("/api/v1/namespaces/ns/configmaps", &config_map("late", "1")).await.refusal(404);
    assert_eq!(message, "namespaces \"ns\" not found");
    let message = api.delete("/api/v1/namespaces/default").await.refusal(403);
    assert_eq!(message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

fn pod(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "c", "image": "i" }] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_pod_goes_gracefully() {
    let api = Fixture::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    api.post("/api/v1/namespaces/default/serviceaccounts", &json!({ "metadata": { "name": "default" } }))
        .await
        .expect(201);
    api.post(pods, &pod("free")).await.expect(201);
    api.delete(&format!("{pods}/free")).await.expect(200);
    assert_eq!(api.get(&format!("{pods}/free")).await.code, 404, "nobody runs it, so it goes at once");

    let made = api.post(pods, &pod("bound")).await.expect(201);
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let binding = json!({ "metadata": { "name": "bound" }, "target": { "kind": "Node", "name": "one" } });
    api.post(&format!("{pods}/bound/binding"), &binding).await.expect(201);
    assert_eq!(api.post(&format!("{pods}/bound/binding"), &binding).await.code, 409);
    let bound = api.get(&format!("{pods}/bound")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "one");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");

    let pending = api.delete(&format!("{pods}/bound")).await.expect(200);
    assert_eq!(pending["metadata"]["deletionGracePeriodSeconds"], 30);
    let options = json!({ "gracePeriodSeconds": 0 });
    api.send(Method::DELETE, &format!("{pods}/bound"), "application/json", options).await.expect(200);
    assert_eq!(api.get(&format!("{pods}/bound")).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_has_begun_can_only_be_hurried() {
    let api = Fixture::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({ "metadata": { "name": "default" } })).await.expect(201);
    api.post(pods, &pod("p")).await.expect(201);
    let binding = json!({ "target": { "kind": "Node", "name": "one" } });
    api.post(&format!("{pods}/p/binding"), &binding).await.expect(201);
    let path = format!("{pods}/p");
    let delete = async |options: Value| api.send(Method::DELETE, &path, "application/json", options).await.expect(200);
    let end =
        |pod: &Value| -> jiff::Timestamp { pod["metadata"]["deletionTimestamp"].as_str().unwrap().parse().unwrap() };
    let first = delete(json!({ "gracePeriodSeconds": 100 })).await;
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 100);
    for slower in [json!({}), json!({ "gracePeriodSeconds": 100 }), json!({ "gracePeriodSeconds": 500 })] {
        assert_eq!(delete(slower).await, first);
    }
    let hurried = delete(json!({ "gracePeriodSeconds": 40 })).await;
    assert_eq!(hurried["metadata"]["deletionGracePeriodSeconds"], 40);
    assert_eq!((end(&first) - end(&hurried)).get_seconds(), 60, "the time runs from the first deletion on");
    assert_eq!(hurried["metadata"]["generation"], first["metadata"]["generation"]);
    let soon = delete(json!({ "gracePeriodSeconds": -5 })).await;
    assert_eq!(soon["metadata"]["deletionGracePeriodSeconds"], 1);
    let gone = delete(json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!((&gone["kind"], &gone["metadata"]["name"]), (&"Pod".into(), &"p".into()), "pods are shown once more");
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_says_what_becomes_of_dependents() {
    let api = Fixture::start().await;
    for (at, (options, expected)) in [
        (json!({ "propagationPolicy": "Orphan" }), Some("orphan")),
        (json!({ "propagationPolicy": "Foreground" }), Some("foregroundDeletion")),
        (json!({ "orphanDependents": true }), Some("orphan")),
        (json!({ "propagationPolicy": "Background" }), None),
        (json!({ "orphanDependents": false }), None),
        (json!({}), None),
    ]
    .into_iter()
    .enumerate()
    {
        let path = config_map_path(&format!("c{at}"));
        api.post(CONFIG_MAPS, &config_map(&format!("c{at}"), "1")).await.expect(201);
        let answer = api.send(Method::DELETE, &path, "application/json", &options).await.expect(200);
        match expected {
            None => assert_eq!(answer["status"], "Success", "{options}"),
            Some(finalizer) => {
                assert_eq!(answer["metadata"]["finalizers"], json!([finalizer]), "{options}");
                assert_eq!(answer["metadata"]["deletionGracePeriodSeconds"], 0, "{options}");
            }
        }
    }
    let path = config_map_path("bad");
    api.post(CONFIG_MAPS, &config_map("bad", "1")).await.expect(201);
    for (options, complaint) in [
        (json!({ "propagationPolicy": "Odd" }), {
            "propagationPolicy: Unsupported value: \"Odd\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        }),
        (json!({ "propagationPolicy": "Orphan", "orphanDependents": true }), {
            "propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
        }),
    ] {
        let message = api.send(Method::DELETE, &path, "application/json", &options).await.refusal(422);
        assert_eq!(message, format!("DeleteOptions.meta.k8s.io \"\" is invalid: {complaint}"));
    }
    api.get(&path).await.expect(200);
}
