//! A cluster is complete by itself.

use crate::harness::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn system_objects_and_the_kubernetes_service_are_there() {
    let api = Fixture::start().await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = api.get(&format!("/api/v1/namespaces/{name}")).await.expect(200);
        assert_eq!(namespace["status"]["phase"], "Active");
    }
    let service = api.get("/api/v1/namespaces/default/services/kubernetes").await.expect(200);
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let slice = testing::eventually(SOON, async || {
        let slice = api.get(slice).await;
        if slice.code == 200 { Ok(slice.json()) } else { Err(slice.text()) }
    })
    .await;
    assert_eq!(slice["endpoints"][0]["addresses"][0], "127.0.0.1");
    assert_eq!(slice["ports"][0]["port"], api.port);
    let trusted = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    assert_eq!(api.get(trusted).await.expect(200)["data"]["client-ca-file"], "the authority");
    let roles = api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles").await.expect(200);
    let names: Vec<&str> =
        roles["items"].as_array().unwrap().iter().filter_map(|role| role["metadata"]["name"].as_str()).collect();
    for name in ["cluster-admin", "admin", "edit", "view", "system:basic-user", "system:node"] {
        assert!(names.contains(&name), "{name}");
    }
    // These hold nothing up, and may come a moment later.
    let binding = testing::eventually(SOON, async || {
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:controller:job-controller";
        let binding = api.get(path).await;
        if binding.code == 200 { Ok(binding.json()) } else { Err(binding.text()) }
    })
    .await;
    assert_eq!(binding["subjects"][0]["name"], "job-controller");
}
