//! Objects that name a class get what the class says, and those that name none get the default one.

use serde_json::{Value, json};

use crate::harness::Fixture;

const PODS: &str = "/api/v1/namespaces/default/pods";
const PRIORITIES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const STORAGE: &str = "/apis/storage.k8s.io/v1/storageclasses";

async fn start() -> Fixture {
    let api = Fixture::start().await;
    let account = json!({ "metadata": { "name": "default" } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
    api
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_has_the_priority_of_its_class() {
    let api = start().await;
    let class = |name: &str, value: i64, default: bool| json!({ "metadata": { "name": name }, "value": value, "globalDefault": default });
    let plain = api.post(PODS, &pod("plain", json!({}))).await.expect(201);
    assert_eq!(
        (&plain["spec"]["priority"], &plain["spec"]["preemptionPolicy"]),
        (&0.into(), &"PreemptLowerPriority".into())
    );
    api.post(PRIORITIES, &class("high", 1000, false)).await.expect(201);
    let high = api.post(PODS, &pod("high", json!({ "priorityClassName": "high" }))).await.expect(201);
    assert_eq!(high["spec"]["priority"], 1000);
    let system = json!({ "priorityClassName": "system-node-critical" });
    assert_eq!(api.post(PODS, &pod("system", system)).await.expect(201)["spec"]["priority"], 2_000_001_000);
    for (spec, complaint) in [
        (json!({ "priorityClassName": "none" }), "no PriorityClass with name none was found"),
        (
            json!({ "priority": 5 }),
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
        ),
        (
            json!({ "preemptionPolicy": "Never" }),
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ] {
        assert_eq!(api.post(PODS, &pod("x", spec)).await.refusal(403), format!("pods \"x\" is forbidden: {complaint}"));
    }
    api.post(PRIORITIES, &class("usual", 10, true)).await.expect(201);
    let usual = api.post(PODS, &pod("usual", json!({}))).await.expect(201);
    assert_eq!((&usual["spec"]["priorityClassName"], &usual["spec"]["priority"]), (&"usual".into(), &10.into()));
    let message = api.post(PRIORITIES, &class("second", 20, true)).await.refusal(403);
    assert!(
        message.ends_with("PriorityClass usual has already been marked as default. Only one default can exist"),
        "{message}"
    );
}

fn claim(name: &str, class: Option<&str>, size: &str) -> Value {
    let mut claim = json!({
        "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_the_default_class_and_grows_as_that_allows() {
    let api = start().await;
    let none = api.post(CLAIMS, &claim("none", None, "1Gi")).await.expect(201);
    assert!(none["spec"]["storageClassName"].is_null());
    let class = |name: &str, grows: bool, default: bool| {
        let mark = json!({ "storageclass.kubernetes.io/is-default-class": default.to_string() });
        json!({ "metadata": { "name": name, "annotations": mark }, "provisioner": "p", "allowVolumeExpansion": grows })
    };
    api.post(STORAGE, &class("fixed", false, false)).await.expect(201);
    api.post(STORAGE, &class("elastic", true, true)).await.expect(201);
    let given = api.post(CLAIMS, &claim("given", None, "1Gi")).await.expect(201);
    assert_eq!(given["spec"]["storageClassName"], "elastic");
    api.post(CLAIMS, &claim("fixed", Some("fixed"), "1Gi")).await.expect(201);
    assert_eq!(api.post(CLAIMS, &claim("own", Some(""), "1Gi")).await.expect(201)["spec"]["storageClassName"], "");
    let grow = json!({ "spec": { "resources": { "requests": { "storage": "2Gi" } } } });
    for name in ["given", "fixed"] {
        let status = json!({ "status": { "phase": "Bound", "capacity": { "storage": "1Gi" } } });
        api.merge(&format!("{CLAIMS}/{name}"), &json!({ "spec": { "volumeName": "v" } })).await.expect(200);
        api.merge(&format!("{CLAIMS}/{name}/status"), &status).await.expect(200);
    }
    api.merge(&format!("{CLAIMS}/given"), &grow).await.expect(200);
    let message = api.merge(&format!("{CLAIMS}/fixed"), &grow).await.refusal(403);
    assert!(message.contains("only dynamically provisioned pvc can be resized"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_carries_the_overhead_of_its_runtime() {
    let api = start().await;
    let class = json!({
        "metadata": { "name": "vm" }, "handler": "vm",
        "overhead": { "podFixed": { "cpu": "250m" } }, "scheduling": { "nodeSelector": { "vm": "yes" } },
    });
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.expect(201);
    let made = api.post(PODS, &pod("p", json!({ "runtimeClassName": "vm" }))).await.expect(201);
    assert_eq!(made["spec"]["overhead"], json!({ "cpu": "250m" }));
    assert_eq!(made["spec"]["nodeSelector"], json!({ "vm": "yes" }));
    let message = api.post(PODS, &pod("q", json!({ "runtimeClassName": "none" }))).await.refusal(403);
    assert_eq!(message, "pods \"q\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
}
