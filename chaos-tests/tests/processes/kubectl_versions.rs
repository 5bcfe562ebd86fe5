//! Every kubectl on the machine, unmodified, against the masters.

use std::path::Path;

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
};
use testing::{
    eventually_blocking,
    kubectl::{Program, programs, steps},
};

use crate::program;

/// The user's own manifests, unchanged.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");

/// What every kubectl runs.
const COMMANDS: &str = include_str!("../kubectl/pods.txt");

#[test]
fn every_kubectl_gets_the_right_answers() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "1"]);
    // Two at a time: more of them would leave a machine of two cores nothing for the cluster.
    for some in programs().chunks(2) {
        let complaints: Vec<String> = std::thread::scope(|scope| {
            let runs: Vec<_> = some.iter().map(|one| scope.spawn(|| passes(&cluster, one))).collect();
            runs.into_iter().filter_map(|run| run.join().expect("kubectl runs").err()).collect()
        });
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

/// What is wrong, if anything.
fn passes(cluster: &Cluster, one: &Program) -> Result<(), String> {
    let namespace = format!("try-{}", one.minor);
    let kubectl = cluster.kubectl(&one.path);
    kubectl.ok(&format!("create namespace {namespace}"));
    for step in steps(COMMANDS).iter().filter(|step| step.is_for(one.minor)) {
        let within = kubectl.command(&format!("--namespace {namespace}"));
        step.run(within).map_err(|complaint| format!("kubectl 1.{}, {complaint}", one.minor))?;
    }
    applies_manifests(&kubectl, &namespace);
    kubectl.ok(&format!("delete namespace {namespace} --wait=true --timeout=120s"));
    eventually_blocking(PATIENCE, || {
        let said = kubectl.ok("get namespaces -o name");
        if said.contains(&format!("namespace/{namespace}\n")) { Err(said) } else { Ok(()) }
    });
    Ok(())
}

fn applies_manifests(kubectl: &Kubectl, namespace: &str) {
    let within = |words: &str| kubectl.ok(&format!("-n {namespace} {words}"));
    within(&format!("create -f {MANIFESTS}/service.yaml"));
    within(&format!("apply -f {MANIFESTS}/replicaset.yaml"));
    assert!(within(&format!("apply -f {MANIFESTS}/replicaset.yaml")).contains("unchanged"));
    within(&format!("apply --server-side -f {MANIFESTS}/deployment.yaml"));
}

#[test]
fn the_users_manifests_apply_unchanged() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    for manifest in ["namespace", "pod", "daemonset", "deployment", "job", "legacy-deployment", "replicaset", "service"]
    {
        let path = format!("{MANIFESTS}/{manifest}.yaml");
        assert!(Path::new(&path).exists(), "{path}");
        kubectl.ok(&format!("apply -f {path}"));
        assert!(kubectl.ok(&format!("apply -f {path}")).contains("unchanged"), "{manifest}");
    }
}
