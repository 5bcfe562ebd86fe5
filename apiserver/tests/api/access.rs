//! Who may do what: certificates and tokens say who, roles in the store say what.

use std::sync::Arc;

use apiserver::UserInfo;
use http::Method;
use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, SOON, config_map, config_map_path};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn code(api: &Fixture, user: &Arc<UserInfo>, method: Method, path: &str) -> u16 {
    let body = if method == Method::POST { config_map("new", "1").to_string() } else { String::new() };
    api.send_as(Some(user.clone()), method, path, "application/json", body).await.code.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_grants_what_it_says_and_no_more() {
    let api = Fixture::start().await;
    let user = UserInfo::new("jane", ["dev"]);
    let refused = api.send_as(Some(user.clone()), Method::GET, CONFIG_MAPS, "", "").await;
    assert_eq!(
        refused.refusal(403),
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }],
    });
    api.post(&format!("{RBAC}/namespaces/default/roles"), &role).await.expect(201);
    let binding = json!({
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev" }],
    });
    api.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.expect(201);
    testing::eventually(SOON, async || match code(&api, &user, Method::GET, CONFIG_MAPS).await {
        200 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(code(&api, &user, Method::POST, CONFIG_MAPS).await, 403);
    assert_eq!(code(&api, &user, Method::GET, "/api/v1/namespaces/kube-system/configmaps").await, 403);
    assert_eq!(code(&api, &user, Method::GET, "/api").await, 200, "everybody may discover");
    assert_eq!(code(&api, &user, Method::GET, "/metrics").await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_health_and_nothing_else() {
    let api = Fixture::start().await;
    for (path, expected) in [("/readyz", 200), ("/livez", 200), ("/version", 401), (CONFIG_MAPS, 401), ("/api", 401)] {
        let answer = api.send_as(None, Method::GET, path, "", "").await;
        assert_eq!(answer.code, expected, "{path}");
    }
    let answer = api.send_as(None, Method::GET, CONFIG_MAPS, "", "").await;
    assert_eq!(answer.expect(401)["reason"], "Unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_what_they_do_not_hold() {
    let api = Fixture::start().await;
    let user = UserInfo::new("jane", ["dev"]);
    let binding = json!({
        "metadata": { "name": "jane-admin" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane" }],
    });
    api.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.expect(201);
    let role = |resource: &str| json!({ "metadata": { "name": resource }, "rules": [{ "apiGroups": [""], "resources": [resource], "verbs": ["get"] }] });
    let roles = format!("{RBAC}/namespaces/default/roles");
    testing::eventually(SOON, async || {
        let answer = api.send_as(Some(user.clone()), Method::POST, &roles, "application/json", role("pods")).await;
        if answer.code == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let refused = api.send_as(Some(user), Method::POST, &roles, "application/json", role("nodes")).await;
    assert!(refused.refusal(403).contains("attempting to grant RBAC permissions not currently held"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_touches_its_own_node_only() {
    let api = Fixture::start().await;
    let agent = UserInfo::new("system:node:one", ["system:nodes"]);
    let node = |name: &str| json!({ "metadata": { "name": name } }).to_string();
    let post = async |path: &str, body: String| {
        api.send_as(Some(agent.clone()), Method::POST, path, "application/json", body).await.code.as_u16()
    };
    assert_eq!(post("/api/v1/nodes", node("one")).await, 201);
    assert_eq!(post("/api/v1/nodes", node("two")).await, 403);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(post(leases, node("one")).await, 201);
    assert_eq!(post(leases, node("two")).await, 403);
    assert_eq!(code(&api, &agent, Method::GET, "/api/v1/nodes").await, 200);
    assert_eq!(code(&api, &agent, Method::GET, "/api/v1/secrets").await, 403);
    assert_eq!(code(&api, &agent, Method::GET, "/api/v1/pods").await, 403);
    assert_eq!(code(&api, &agent, Method::GET, "/api/v1/pods?fieldSelector=spec.nodeName%3Done").await, 200);
    assert_eq!(code(&api, &agent, Method::GET, &config_map_path("any")).await, 403);
}
