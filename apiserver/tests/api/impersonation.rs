//! Who may act as another does, and is that other in everything.

use std::sync::Arc;

use apiserver::UserInfo;
use http::Request;
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, SOON};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn who(api: &Fixture, user: Arc<UserInfo>, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(REVIEWS).extension(user);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.call(request.body(axum::body::Body::from("{}")).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_acts_as_anybody() {
    let api = Fixture::start().await;
    for (headers, expected) in [
        (vec![("Impersonate-User", "jane")], json!({ "username": "jane", "groups": ["system:authenticated"] })),
        (vec![("Impersonate-User", "jane"), ("Impersonate-Group", "dev"), ("Impersonate-Uid", "7")], {
            json!({ "username": "jane", "uid": "7", "groups": ["dev", "system:authenticated"] })
        }),
        (vec![("Impersonate-User", "jane"), ("Impersonate-Extra-Scopes", "view")], {
            json!({ "username": "jane", "groups": ["system:authenticated"], "extra": { "scopes": ["view"] } })
        }),
        (vec![("Impersonate-User", "system:serviceaccount:ns:bot")], {
            let groups = ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"];
            json!({ "username": "system:serviceaccount:ns:bot", "groups": groups })
        }),
    ] {
        let review = who(&api, Fixture::admin(), &headers).await.expect(201);
        assert_eq!(review["status"]["userInfo"], expected);
    }
    let lonely = who(&api, Fixture::admin(), &[("Impersonate-Group", "dev")]).await;
    assert_eq!(lonely.code, 500, "a group without a user");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_act_as_whom_they_may() {
    let api = Fixture::start().await;
    let bob = UserInfo::new("bob", ["ops"]);
    let refused = who(&api, bob.clone(), &[("Impersonate-User", "jane")]).await;
    assert_eq!(
        refused.refusal(403),
        "users \"jane\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
    let role = json!({ "metadata": { "name": "act" }, "rules": [
        { "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["jane"] },
    ] });
    api.post(&format!("{RBAC}/clusterroles"), &role).await.expect(201);
    let binding: Value = json!({
        "metadata": { "name": "act" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "act" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob" }],
    });
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.expect(201);
    testing::eventually(SOON, async || {
        let answer = who(&api, bob.clone(), &[("Impersonate-User", "jane")]).await;
        if answer.code == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    for (headers, resource) in [
        (vec![("Impersonate-User", "joe")], "users \"joe\""),
        (vec![("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")], "groups \"system:masters\""),
        (vec![("Impersonate-User", "jane"), ("Impersonate-Uid", "7")], "uids.authentication.k8s.io \"7\""),
        (vec![("Impersonate-User", "jane"), ("Impersonate-Extra-a", "b")], "userextras.authentication.k8s.io \"b\""),
        (vec![("Impersonate-User", "system:serviceaccount:ns:bot")], "serviceaccounts \"bot\""),
    ] {
        let message = who(&api, bob.clone(), &headers).await.refusal(403);
        assert!(message.starts_with(&format!("{resource} is forbidden: User \"bob\" cannot impersonate")), "{message}");
    }
}
