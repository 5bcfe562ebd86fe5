//! exec, attach, port-forward and proxies: who may, what is refused here, and what goes to the node.

use apiserver::UserInfo;
use http::Method;
use serde_json::json;

use crate::harness::Fixture;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn with_pods() -> Fixture {
    let api = Fixture::start().await;
    let account = json!({ "metadata": { "name": "default" } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
    api.post("/api/v1/nodes", &json!({ "metadata": { "name": "one" } })).await.expect(201);
    let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.1.2.3" }] } });
    api.merge("/api/v1/nodes/one/status", &status).await.expect(200);
    let container = |name: &str| json!({ "name": name, "image": "i" });
    let single = json!({ "containers": [container("c")], "nodeName": "one" });
    let twins = json!({ "containers": [container("a"), container("b")], "initContainers": [container("i")], "nodeName": "one" });
    let waiting = json!({ "containers": [container("c")] });
    for (name, spec) in [("single", single), ("twins", twins), ("waiting", waiting)] {
        api.post(PODS, &json!({ "metadata": { "name": name }, "spec": spec })).await.expect(201);
    }
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_streamed_is_refused_in_kubernetes_words() {
    let api = with_pods().await;
    for (path, code, message) in [
        ("single/exec?command=ls&stdout=true", 400, "Upgrade request required"),
        ("single/portforward", 400, "Upgrade request required"),
        ("single/exec?container=x&command=ls", 400, "container x is not valid for pod single"),
        (
            "twins/attach",
            400,
            "a container name must be specified for pod twins, choose one of: [a b] or one of the init containers: [i]",
        ),
        ("waiting/exec?command=ls", 400, "pod waiting does not have a host assigned"),
        ("nobody/exec?command=ls", 404, "pods \"nobody\" not found"),
        ("single:x/proxy/", 400, "invalid port \"x\""),
        ("ftp:single:1/proxy/", 400, "invalid proxy request \"ftp:single:1\": its scheme is http or https"),
    ] {
        assert_eq!(api.get(&format!("{PODS}/{path}")).await.refusal(code), message, "{path}");
    }
    assert_eq!(api.put(&format!("{PODS}/single/exec"), &json!({})).await.code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_streams_needs_the_right_to_create_too() {
    let api = with_pods().await;
    let rules = json!([{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"] }]);
    let role = json!({ "metadata": { "name": "looker" }, "rules": rules });
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).await.expect(201);
    let binding = json!({
        "metadata": { "name": "looker" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane" }],
    });
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.expect(201);
    let expected = r#"pods "single" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "default""#;
    let path = format!("{PODS}/single/exec?command=ls&stdout=true");
    testing::eventually(crate::harness::SOON, async || {
        let jane = Some(UserInfo::new("jane", ["system:authenticated"]));
        let answer = api.send_as(jane, Method::GET, &path, "application/json", "").await;
        let status = answer.expect(403);
        assert_eq!(status["reason"], "Forbidden");
        let message = status["message"].as_str().unwrap_or_default().to_owned();
        if message == expected { Ok(()) } else { Err(message) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_passes_path_and_query_to_the_node() {
    let api = with_pods().await;
    let answer = api.get("/api/v1/nodes/one/proxy/metrics/cadvisor?x=1").await;
    assert_eq!(answer.text(), "one 10.1.2.3:10250 /metrics/cadvisor?x=1\n");
    assert_eq!(api.get("/api/v1/nodes/one/proxy").await.code, 301);
    let discovery = api.get("/api/v1").await.json();
    let find = |name: &str| {
        let resources = discovery["resources"].as_array().unwrap();
        resources.iter().find(|resource| resource["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(find("pods/exec")["kind"], "PodExecOptions");
    assert_eq!(find("pods/exec")["verbs"], json!(["create", "get"]));
    assert_eq!(find("services/proxy")["verbs"], json!(["create", "delete", "get", "patch", "update"]));
    assert_eq!(find("nodes/proxy")["namespaced"], false);
}
