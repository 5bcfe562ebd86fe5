//! What a Deployment writes on its ReplicaSets.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use serde_json::{Map, Value};

use super::budget::budget;
use super::wanted;
use crate::meta::Strings;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Not copied from the deployment to its replica sets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// For which size of the deployment a replica set was scaled: the base of proportional scaling.
pub(super) fn sizes(spec: &DeploymentSpec) -> Strings {
    let wanted = wanted(spec);
    let most = wanted.saturating_add(budget(spec).surge);
    BTreeMap::from([(DESIRED.to_owned(), wanted.to_string()), (MAX.to_owned(), most.to_string())])
}

/// The annotations of the deployment that its replica sets repeat.
pub(super) fn copied(deployment: &Deployment) -> Strings {
    let all = deployment.metadata.annotations.iter().flatten();
    all.filter(|(name, _)| !OWN.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Those of `wanted` that the replica set lacks, as a patch.
pub(super) fn missing(replica_set: &ReplicaSet, wanted: &Strings) -> Option<Value> {
    let present = replica_set.metadata.annotations.clone().unwrap_or_default();
    let missing = wanted.iter().filter(|(name, value)| present.get(*name) != Some(value));
    let missing: Map<String, Value> = missing.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    (!missing.is_empty()).then_some(Value::Object(missing))
}

/// A number in an annotation.
pub(super) fn number(replica_set: &ReplicaSet, name: &str) -> Option<i32> {
    replica_set.metadata.annotations.as_ref()?.get(name)?.parse().ok()
}

/// The revision of a replica set; 0 before it has one.
pub(super) fn revision(replica_set: &ReplicaSet) -> i64 {
    let text = replica_set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
