//! What differs between resources although no verb names one: these tables are Kubernetes'.

use std::collections::BTreeSet;

use api::kind::{KINDS, Kind};
use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

/// A PUT to one of these has to say which revision it replaces.
const REVISION_REQUIRED: [&str; 13] = [
    "clustertrustbundles",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "leases",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "poddisruptionbudgets",
    "runtimeclasses",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];
/// So have some more, whose name alone would not tell.
const REVISION_REQUIRED_TOO: [&str; 1] = ["volumeattachments"];
/// A PUT to an absent one of these creates it.
const CREATED_BY_PUT: [&str; 10] = [
    "clusterrolebindings",
    "clusterroles",
    "endpoints",
    "events",
    "leases",
    "limitranges",
    "rolebindings",
    "roles",
    "runtimeclasses",
    "services",
];
/// A deletion of one of these shows it once more.
const SHOWN_WHEN_DELETED: [&str; 12] = [
    "csidrivers",
    "csinodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
    "volumeattributesclasses",
];
/// What such a one owns stays by default.
const ORPHANED: [&str; 2] = ["jobs", "replicationcontrollers"];

fn check(rule: &str, holds: impl Fn(&Kind) -> bool, expected: &[&str]) {
    let stored = || KINDS.iter().filter(|kind| kind.stored && kind.stored_as.is_none());
    let actual: BTreeSet<&str> = stored().filter(|kind| holds(kind)).map(|kind| kind.plural).collect();
    let known: BTreeSet<&str> = stored().map(|kind| kind.plural).collect();
    let expected: BTreeSet<&str> = expected.iter().copied().filter(|plural| known.contains(plural)).collect();
    assert_eq!(actual, expected, "{rule}");
}

#[test]
fn resources_differ_as_upstreams_do() {
    let required: Vec<&str> = REVISION_REQUIRED.into_iter().chain(REVISION_REQUIRED_TOO).collect();
    check("a PUT needs a revision", |kind| !kind.unconditional_update, &required);
    check("a PUT creates", |kind| kind.create_on_update, &CREATED_BY_PUT);
    check("a deletion shows the object", |kind| kind.returns_deleted, &SHOWN_WHEN_DELETED);
    check("dependents stay", |kind| kind.orphan_by_default, &ORPHANED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_needs_a_revision_where_that_is_the_rule_and_creates_where_that_is() {
    let api = Fixture::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({ "metadata": { "name": "l" }, "spec": { "holderIdentity": "a" } });
    let made = api.put(&format!("{leases}/l"), &lease).await.expect(201);
    assert_eq!(
        api.put(&format!("{leases}/l"), &lease).await.refusal(422),
        "Lease.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    );
    api.put(&format!("{leases}/l"), &made).await.expect(200);
    assert_eq!(api.put(&config_map_path("c"), &config_map("c", "1")).await.code, 404);
    api.post(CONFIG_MAPS, &config_map("c", "1")).await.expect(201);
    api.put(&config_map_path("c"), &config_map("c", "2")).await.expect(200);
}
