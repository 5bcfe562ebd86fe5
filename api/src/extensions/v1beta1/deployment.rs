//! `Deployment` as old manifests write it: a view of the Deployments of `apps/v1`, with other defaults.
//!
//! It has neither short name nor category, so that commands that name no group mean the present one.

use crate::apps::v1::deployment as present;
use crate::core::v1::pod_template;
use crate::kind::{Generation, Kind};
use crate::node::{Map, Node, Struct};

/// What the group meant by "without limit".
const UNLIMITED: i64 = i32::MAX as i64;

/// The kind.
pub static KIND: Kind = Kind {
    group: "extensions",
    version: "v1beta1",
    plural: "deployments",
    singular: "deployment",
    kind: "Deployment",
    stored_as: Some(&present::KIND),
    deprecation: "extensions/v1beta1 Deployment is deprecated in v1.9+, unavailable in v1.16+ of Kubernetes; use apps/v1 Deployment",
    subresources: present::KIND.subresources,
    ty: present::KIND.ty,
    columns: present::KIND.columns,
    row: present::KIND.row,
    generation: Generation::SpecOrAnnotations,
    scale: Some(crate::apps::v1::SCALE),
    defaults,
    check: present::KIND.check,
    check_update: present::KIND.check_update,
    check_status_update: present::KIND.check_status_update,
    ..Kind::BASE
};

fn defaults(deployment: &mut Struct) {
    let labels = deployment.at("spec.template.metadata.labels").and_then(Node::as_map).cloned().unwrap_or_default();
    let spec = deployment.struct_at("spec");
    if spec.get("selector").is_none() && !labels.is_empty() {
        spec.set("selector.matchLabels", labels.clone());
    }
    spec.set_default("replicas", 1_i64);
    spec.set_default("revisionHistoryLimit", UNLIMITED);
    spec.set_default("progressDeadlineSeconds", UNLIMITED);
    spec.set_default("strategy.type", "RollingUpdate");
    if spec.str_at("strategy.type") == "RollingUpdate" {
        spec.set_default("strategy.rollingUpdate.maxUnavailable", 1_i64);
        spec.set_default("strategy.rollingUpdate.maxSurge", 1_i64);
    }
    pod_template::defaults(spec);
    let unlabelled = deployment.at("metadata.labels").and_then(Node::as_map).is_none_or(Map::is_empty);
    if unlabelled && !labels.is_empty() {
        deployment.set("metadata.labels", labels);
    }
}
