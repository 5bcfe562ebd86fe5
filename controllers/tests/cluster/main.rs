//! Controllers and scheduler together on a real API server over a real store, in one process.
//!
//! Only the nodes are played: objects, leases, and a kubelet that starts every pod at once and ends those it is told to.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod workloads;

#[cfg(test)]
mod stories {
    use std::time::Duration;

    use serde_json::json;

    use crate::fixture::{Fixture, NODE_GRACE_LONG};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deployment_runs_rolls_scales_and_leaves_nothing_behind() {
        let cluster = Fixture::start(NODE_GRACE_LONG, &["n1", "n2"]).await;
        cluster.deploy("web", 4, "image:1").await;
        cluster.rolled_out("web", 4, "image:1").await;
        let on_first = cluster.pods_on("n1").await;
        assert_eq!(on_first, 2, "the pods spread over both nodes");
        cluster.set_image("web", "image:2").await;
        cluster.rolled_out("web", 4, "image:2").await;
        cluster.scale("web", 6).await;
        cluster.rolled_out("web", 6, "image:2").await;
        cluster.delete("/apis/apps/v1/namespaces/default/deployments/web").await;
        cluster.none_left("/api/v1/namespaces/default/pods").await;
        cluster.none_left("/apis/apps/v1/namespaces/default/replicasets").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_idle_cluster_writes_nothing() {
        let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
        for n in 0..20 {
            cluster.deploy(&format!("web-{n}"), 1, "image:1").await;
        }
        for n in 0..20 {
            cluster.rolled_out(&format!("web-{n}"), 1, "image:1").await;
        }
        cluster.quiet_for(Duration::from_secs(3)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespace_is_emptied_and_goes() {
        let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
        cluster.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}})).await;
        cluster.exists("/api/v1/namespaces/team/serviceaccounts/default").await;
        cluster.exists("/api/v1/namespaces/team/configmaps/kube-root-ca.crt").await;
        cluster.post("/api/v1/namespaces/team/configmaps", &json!({"metadata": {"name": "a"}})).await;
        cluster.delete("/api/v1/namespaces/team").await;
        cluster.gone("/api/v1/namespaces/team").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn custom_resources_go_with_their_namespace_and_with_their_owners() {
        let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let definition = json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            },
        });
        cluster.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
        cluster.exists("/apis/example.com/v1/widgets").await;
        cluster.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}})).await;
        let widget = |name: &str| json!({"metadata": {"name": name}, "spec": {"size": 1}});
        cluster.post("/apis/example.com/v1/namespaces/team/widgets", &widget("a")).await;
        cluster.post("/apis/example.com/v1/namespaces/default/widgets", &widget("owner")).await;
        let path = "/apis/example.com/v1/namespaces/default/widgets/owner";
        let uid = cluster.get(path).await["metadata"]["uid"].clone();
        let owner = json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": uid}]);
        let owned = json!({"metadata": {"name": "owned", "ownerReferences": owner}});
        cluster.post("/apis/example.com/v1/namespaces/default/widgets", &owned).await;
        cluster.post("/api/v1/namespaces/default/configmaps", &owned).await;
        cluster.delete(path).await;
        cluster.none_left("/apis/example.com/v1/namespaces/default/widgets").await;
        cluster.gone("/api/v1/namespaces/default/configmaps/owned").await;
        cluster.delete("/api/v1/namespaces/team").await;
        cluster.gone("/api/v1/namespaces/team").await;
        cluster.none_left("/apis/example.com/v1/widgets").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_claim_waits_for_its_pod_and_a_bound_volume_for_its_claim() {
        const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
        const VOLUMES: &str = "/api/v1/persistentvolumes";
        let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
        let storage = json!({"storage": "1Gi"});
        for name in ["used", "unused"] {
            let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": storage}});
            cluster.post(CLAIMS, &json!({"metadata": {"name": name}, "spec": spec})).await;
            let spec =
                json!({"accessModes": ["ReadWriteOnce"], "capacity": storage, "hostPath": {"path": "/tmp/none"}});
            cluster.post(VOLUMES, &json!({"metadata": {"name": name}, "spec": spec})).await;
        }
        cluster.patch(&format!("{VOLUMES}/used/status"), &json!({"status": {"phase": "Bound"}})).await;
        let container = json!({"name": "c", "image": "image:1"});
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "used"}});
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [container], "volumes": [volume]}});
        cluster.post("/api/v1/namespaces/default/pods", &pod).await;
        cluster.on_a_node("p").await;

        for name in ["used", "unused"] {
            cluster.delete(&format!("{CLAIMS}/{name}")).await;
            cluster.delete(&format!("{VOLUMES}/{name}")).await;
        }
        cluster.gone(&format!("{CLAIMS}/unused")).await;
        cluster.gone(&format!("{VOLUMES}/unused")).await;
        for waits in [format!("{CLAIMS}/used"), format!("{VOLUMES}/used")] {
            let metadata = cluster.get(&waits).await["metadata"].clone();
            assert!(!metadata["deletionTimestamp"].is_null() && !metadata["finalizers"].is_null(), "{metadata:#}");
        }

        cluster.delete("/api/v1/namespaces/default/pods/p").await;
        cluster.gone(&format!("{CLAIMS}/used")).await;
        cluster.patch(&format!("{VOLUMES}/used/status"), &json!({"status": {"phase": "Released"}})).await;
        cluster.gone(&format!("{VOLUMES}/used")).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pods_of_a_silent_node_are_replaced_elsewhere() {
        let cluster = Fixture::start(Duration::from_secs(2), &["n1", "n2"]).await;
        cluster.deploy("web", 4, "image:1").await;
        cluster.rolled_out("web", 4, "image:1").await;
        cluster.silence("n1").await;
        cluster.tainted("n1", "node.kubernetes.io/unreachable").await;
        cluster.emptied("n1").await;
        cluster.rolled_out("web", 4, "image:1").await;
        assert_eq!(cluster.pods_on("n2").await, 4);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_node_gets_its_own_addresses() {
        let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cluster = Fixture::start(NODE_GRACE_LONG, &names).await;
        let mut cidrs = Vec::new();
        for name in names {
            cidrs.push(cluster.pod_cidr(name).await);
        }
        cidrs.sort();
        cidrs.dedup();
        assert_eq!(cidrs.len(), 8, "{cidrs:?}");
    }
}
