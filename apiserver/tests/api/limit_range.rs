//! A namespace gives its pods what they do not ask for, and refuses what is too little or too much.

use serde_json::{Value, json};

use crate::harness::Fixture;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn start(limits: Value) -> Fixture {
    let api = Fixture::start().await;
    let account = json!({ "metadata": { "name": "default" } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
    let range = json!({ "metadata": { "name": "l" }, "spec": { "limits": limits } });
    api.post("/api/v1/namespaces/default/limitranges", &range).await.expect(201);
    api
}

fn pod(name: &str, resources: Value) -> Value {
    let container = json!({ "name": "c", "image": "i", "resources": resources });
    json!({ "metadata": { "name": name }, "spec": { "containers": [container] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_get_what_they_do_not_ask_for() {
    let api =
        start(json!([{ "type": "Container", "default": { "cpu": "2" }, "defaultRequest": { "cpu": "100m" } }])).await;
    let made = api.post(PODS, &pod("p", json!({}))).await.expect(201);
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({ "limits": { "cpu": "2" }, "requests": { "cpu": "100m" } })
    );
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_outside_the_limits_is_refused() {
    let api = start(json!([
        { "type": "Container", "min": { "memory": "64Mi" }, "max": { "memory": "1Gi" } },
        { "type": "Pod", "max": { "memory": "2Gi" } },
        { "type": "PersistentVolumeClaim", "max": { "storage": "10Gi" } },
    ]))
    .await;
    api.post(PODS, &pod("fits", json!({ "requests": { "memory": "64Mi" } }))).await.expect(201);
    let message = api.post(PODS, &pod("small", json!({ "requests": { "memory": "1Mi" } }))).await.refusal(403);
    assert_eq!(message, "pods \"small\" is forbidden: minimum memory usage per Container is 64Mi, but request is 1Mi");
    let message = api.post(PODS, &pod("large", json!({ "limits": { "memory": "3Gi" } }))).await.refusal(403);
    assert_eq!(
        message,
        "pods \"large\" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 3Gi, maximum memory usage per Pod is 2Gi, but limit is 3Gi]"
    );
    let claim = json!({
        "metadata": { "name": "c" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "20Gi" } } },
    });
    let message = api.post("/api/v1/namespaces/default/persistentvolumeclaims", &claim).await.refusal(403);
    assert_eq!(
        message,
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"
    );
}
