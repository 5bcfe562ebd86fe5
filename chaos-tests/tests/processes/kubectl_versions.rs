//! Every kubectl on the machine, unmodified, against the masters.

use std::path::Path;

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE, kubectls},
};
use testing::eventually_blocking;

use crate::program;

/// The user's own manifests, unchanged.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");

#[test]
fn every_kubectl_gets_the_right_answers() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "1"]);
    for program in kubectls() {
        let name = program.file_name().expect("a file name").to_string_lossy().replace(['.', '_'], "-");
        eprintln!("with {}", program.display());
        passes(&cluster.kubectl(&program), &format!("try-{name}"));
    }
}

fn passes(kubectl: &Kubectl, namespace: &str) {
    assert!(kubectl.ok("version").contains("kontiki"));
    let resources = kubectl.ok("api-resources");
    for kind in ["Deployment", "ReplicaSet", "ConfigMap", "EndpointSlice", "ClusterRoleBinding"] {
        assert!(resources.contains(kind), "{kind} is not among the resources:\n{resources}");
    }
    kubectl.ok(&format!("create namespace {namespace}"));
    let within = |words: &str| format!("-n {namespace} {words}");
    kubectl.ok(&within("create configmap settings --from-literal=color=blue"));
    assert_eq!(kubectl.ok(&within("get configmap settings -o jsonpath={.data.color}")), "blue");
    kubectl.ok(&within("create secret generic credentials --from-literal=password=secret"));
    kubectl.ok(&within("create deployment web --image=kontiki.io/demo:1"));
    kubectl.ok(&within("scale deployment web --replicas=2"));
    kubectl.ok(&within("rollout status deployment/web --timeout=60s"));
    assert!(kubectl.ok(&within("get deployments")).contains("2/2"));
    assert!(kubectl.ok(&within("describe deployment web")).contains("2 desired"));
    assert!(kubectl.ok(&within("logs deployment/web")).contains("listens on port"));
    let service = format!("{MANIFESTS}/service.yaml");
    kubectl.ok(&within(&format!("create -f {service}")));
    kubectl.ok(&within(&format!("apply -f {MANIFESTS}/replicaset.yaml")));
    assert!(kubectl.ok(&within(&format!("apply -f {MANIFESTS}/replicaset.yaml"))).contains("unchanged"));
    kubectl.ok(&within(&format!("apply --server-side -f {MANIFESTS}/deployment.yaml")));
    kubectl.ok(&within("label configmap settings team=blue"));
    assert!(kubectl.ok(&within("get configmaps -l team=blue")).contains("settings"));
    kubectl.ok(&within("annotate configmap settings note=kept"));
    assert!(kubectl.ok("auth can-i create pods").contains("yes"));
    kubectl.ok(&within("delete deployment web --wait=true"));
    kubectl.ok(&format!("delete namespace {namespace} --wait=true --timeout=60s"));
    eventually_blocking(PATIENCE, || {
        let said = kubectl.ok("get namespaces -o name");
        if said.contains(&format!("namespace/{namespace}\n")) { Err(said) } else { Ok(()) }
    });
}

#[test]
fn the_users_manifests_apply_unchanged() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    for manifest in ["namespace", "pod", "deployment", "legacy-deployment", "replicaset", "service"] {
        let path = format!("{MANIFESTS}/{manifest}.yaml");
        assert!(Path::new(&path).exists(), "{path}");
        kubectl.ok(&format!("apply -f {path}"));
        assert!(kubectl.ok(&format!("apply -f {path}")).contains("unchanged"), "{manifest}");
    }
}
