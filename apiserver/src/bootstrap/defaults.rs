//! Objects every cluster begins with, besides its roles: made if they are missing, and never set back.

use api::scheduling::v1::priority_class;
use serde_json::{Value, json};

use crate::{catalog::Group, cidr::Cidr, server::Server};

const PRIORITY_CLASSES: [&str; 2] = [
    "For pods the cluster cannot do without, which may run on any of its nodes.",
    "For pods a node cannot do without, which must not be moved to another one.",
];

/// What is made once, and left to its users from then on.
pub(super) fn objects(server: &Server) -> Vec<Value> {
    let mut objects = priority_classes();
    objects.push(service_cidr(&server.config.service_cidrs));
    objects.extend(api_services(server.custom.catalog().groups()));
    objects.extend(super::flow_control::objects());
    objects
}

/// The two classes of priority above all of the users'.
fn priority_classes() -> Vec<Value> {
    let class = |((name, value), description): (&(&str, i64), &str)| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value, "description": description,
        })
    };
    priority_class::SYSTEM.iter().zip(PRIORITY_CLASSES).map(class).collect()
}

/// The range from which the masters give addresses to Services.
fn service_cidr(ranges: &[Cidr]) -> Value {
    let ranges: Vec<String> = ranges.iter().map(Cidr::to_string).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "kubernetes" },
        "spec": { "cidrs": ranges },
        "status": { "conditions": [
            { "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready" },
        ] },
    })
}

/// Which groups come first in discovery: a group's priority, and that of its versions.
const PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18000, 1),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("apps", "v1", 17800, 15),
    ("apps", "v1beta1", 17800, 1),
    ("apps", "v1beta2", 17800, 9),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("batch", "v1beta1", 17400, 9),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("coordination.k8s.io", "v1beta1", 16500, 12),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("extensions", "v1beta1", 17150, 1),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("networking.k8s.io", "v1", 17200, 15),
    ("node.k8s.io", "v1", 16300, 15),
    ("policy", "v1", 17100, 15),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("resource.k8s.io", "v1", 15200, 15),
    ("resource.k8s.io", "v1beta1", 15200, 9),
    ("resource.k8s.io", "v1beta2", 15200, 12),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("scheduling.k8s.io", "v1beta1", 16600, 12),
    ("storage.k8s.io", "v1", 16800, 15),
    ("storage.k8s.io", "v1beta1", 16800, 9),
    ("storagemigration.k8s.io", "v1", 16800, 15),
    ("storagemigration.k8s.io", "v1beta1", 16800, 12),
];
/// The priorities of a group that the table does not know.
const OTHER: (i64, i64) = (1000, 100);
/// The group that says who serves all others is served by the aggregator itself.
const AGGREGATOR: &str = "apiregistration.k8s.io";

/// How early a group comes in discovery: where several groups have a kind of one name, clients take the first.
pub(crate) fn group_priority(group: &str) -> i64 {
    if group == AGGREGATOR {
        return i64::MAX;
    }
    let known = PRIORITIES.iter().filter(|(known, ..)| *known == group).map(|(.., priority, _)| *priority);
    known.max().unwrap_or(OTHER.0)
}

/// One for each group and version this server serves itself.
fn api_services(groups: &[Group]) -> Vec<Value> {
    let versions = groups.iter().filter(|(group, _)| *group != AGGREGATOR);
    let versions = versions.flat_map(|(group, versions)| versions.iter().map(move |version| (*group, *version)));
    versions.map(|(group, version)| api_service(group, version)).collect()
}

fn api_service(group: &str, version: &str) -> Value {
    let known = PRIORITIES.iter().find(|(known, of, ..)| (*known, *of) == (group, version));
    let (group_priority, version_priority) = known.map_or(OTHER, |(_, _, group, version)| (*group, *version));
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {
            "name": format!("{version}.{group}"),
            "labels": { "kube-aggregator.kubernetes.io/automanaged": "onstart" },
        },
        "spec": spec,
        "status": { "conditions": [{
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
        }] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::kind;

    #[test]
    fn every_group_has_a_priority_of_its_own() {
        for (group, versions) in kind::groups() {
            for version in versions {
                let known = PRIORITIES.iter().any(|(known, of, ..)| (*known, *of) == (group, version));
                assert!(known || group == AGGREGATOR, "{group}/{version}");
            }
        }
        assert_eq!(api_service("", "v1")["metadata"]["name"], "v1.");
    }
}
