//! A service account's token says who it is, for whom, how long, and bound to what.

use http::{Request, header};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, SOON};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn account(api: &Fixture, name: &str) {
    api.post(ACCOUNTS, &json!({ "metadata": { "name": name } })).await.expect(201);
}

async fn ask(api: &Fixture, spec: Value) -> Answer {
    api.post(&format!("{ACCOUNTS}/bot/token"), &json!({ "spec": spec })).await
}

async fn token(api: &Fixture, spec: Value) -> String {
    ask(api, spec).await.expect(201)["status"]["token"].as_str().unwrap().to_owned()
}

async fn review(api: &Fixture, spec: Value) -> Value {
    api.post(REVIEWS, &json!({ "spec": spec })).await.expect(201)["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_accounts_token_dies_with_the_account() {
    let api = Fixture::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({ "metadata": { "name": "bot" } })).await.expect(201);
    let request = json!({ "spec": { "expirationSeconds": 600 } });
    let token = api.post(&format!("{accounts}/bot/token"), &request).await.expect(201);
    let token = token["status"]["token"].as_str().unwrap().to_owned();
    let ask = async |token: &str| {
        let review = json!({ "spec": { "resourceAttributes": { "verb": "get", "resource": "pods" } } });
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(axum::body::Body::from(review.to_string()))
            .unwrap();
        api.open(request).await.status().as_u16()
    };
    assert_eq!(ask(&token).await, 201);
    assert_eq!(ask(&format!("{token}x")).await, 401);
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = api.post(reviews, &json!({ "spec": { "token": token } })).await.expect(201);
    assert_eq!(review["status"]["user"]["username"], "system:serviceaccount:default:bot");
    let message = api.post(&format!("{accounts}/bot/token"), &json!({ "spec": { "expirationSeconds": 5 } })).await;
    assert!(message.refusal(422).contains("may not specify a duration less than 10 minutes"));
    api.delete(&format!("{accounts}/bot")).await.expect(200);
    testing::eventually(SOON, async || match ask(&token).await {
        401 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_its_audiences() {
    let api = Fixture::start().await;
    account(&api, "bot").await;
    let own = token(&api, json!({ "audiences": ["vault", "other"] })).await;
    let seen = review(&api, json!({ "token": own, "audiences": ["vault", "nobody"] })).await;
    assert_eq!((&seen["authenticated"], &seen["audiences"]), (&true.into(), &json!(["vault"])));
    let refused = review(&api, json!({ "token": own })).await;
    assert!(refused["authenticated"].is_null() && refused["error"].is_string(), "{refused}");
    let request = Request::get("/api").header(header::AUTHORIZATION, format!("Bearer {own}"));
    let answer = api.call(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.code, 401, "the token is not for this server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_what_it_is_bound_to() {
    let api = Fixture::start().await;
    account(&api, "bot").await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({
        "metadata": { "name": "p" },
        "spec": { "serviceAccountName": "bot", "containers": [{ "name": "c", "image": "i" }] },
    });
    api.post(pods, &pod).await.expect(201);
    api.post("/api/v1/namespaces/default/secrets", &json!({ "metadata": { "name": "s" } })).await.expect(201);
    api.post("/api/v1/nodes", &json!({ "metadata": { "name": "n" } })).await.expect(201);
    let bound =
        |kind: &str, name: &str| json!({ "boundObjectRef": { "apiVersion": "v1", "kind": kind, "name": name } });
    for (kind, name, path) in [
        ("Pod", "p", format!("{pods}/p")),
        ("Secret", "s", "/api/v1/namespaces/default/secrets/s".to_owned()),
        ("Node", "n", "/api/v1/nodes/n".to_owned()),
    ] {
        let own = token(&api, bound(kind, name)).await;
        let seen = review(&api, json!({ "token": own })).await;
        assert_eq!(seen["authenticated"], true, "{kind}: {seen}");
        if kind != "Secret" {
            let key = format!("authentication.kubernetes.io/{}-name", kind.to_lowercase());
            assert_eq!(seen["user"]["extra"][key], json!([name]), "{kind}");
        }
        api.delete(&path).await.expect(200);
        testing::eventually(SOON, async || {
            let seen = review(&api, json!({ "token": own })).await;
            if seen["authenticated"].is_null() { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bound_says_why() {
    let api = Fixture::start().await;
    account(&api, "bot").await;
    account(&api, "default").await;
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    api.post("/api/v1/namespaces/default/pods", &pod).await.expect(201);
    api.post("/api/v1/namespaces/default/secrets", &json!({ "metadata": { "name": "s" } })).await.expect(201);
    let bound = |kind: &str, name: &str, uid: &str| json!({ "boundObjectRef": { "apiVersion": "v1", "kind": kind, "name": name, "uid": uid } });
    for (spec, code, message) in [
        (bound("Pod", "none", ""), 404, "pods \"none\" not found"),
        (bound("Pod", "p", ""), 400, {
            "cannot bind token for serviceaccount \"bot\" to pod running with different serviceaccount name."
        }),
        (bound("ConfigMap", "x", ""), 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        (bound("Secret", "s", "old"), 409, {
            "Operation cannot be fulfilled on Secret \"s\": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated"
        }),
        (json!({ "expirationSeconds": 599 }), 422, {
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"
        }),
    ] {
        assert_eq!(ask(&api, spec.clone()).await.refusal(code), message, "{spec}");
    }
    let other = json!({ "metadata": { "name": "other" }, "spec": {} });
    let message = api.post(&format!("{ACCOUNTS}/bot/token"), &other).await.refusal(422);
    assert!(message.ends_with("must match the service account name if specified"), "{message}");
}
