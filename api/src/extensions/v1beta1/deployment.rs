//! `Deployment` as old manifests write it: a view of the Deployments of `apps/v1`, with other defaults.

use crate::apps::v1::{deployment as present, select_by_template};
use crate::kind::Kind;
use crate::node::Struct;

/// What the group meant by "without limit".
const UNLIMITED: i64 = i32::MAX as i64;

/// The kind.
pub static KIND: Kind = Kind {
    defaults,
    ..Kind::view(
        &present::KIND,
        "extensions",
        "v1beta1",
        "extensions/v1beta1 Deployment is deprecated in v1.9+, unavailable in v1.16+ of Kubernetes; use apps/v1 Deployment",
    )
};

fn defaults(deployment: &mut Struct) {
    select_by_template(deployment);
    let spec = deployment.struct_at("spec");
    spec.set_default("revisionHistoryLimit", UNLIMITED);
    spec.set_default("progressDeadlineSeconds", UNLIMITED);
    spec.set_default("strategy.type", "RollingUpdate");
    if spec.str_at("strategy.type") == "RollingUpdate" {
        spec.set_default("strategy.rollingUpdate.maxUnavailable", 1_i64);
        spec.set_default("strategy.rollingUpdate.maxSurge", 1_i64);
    }
    (present::KIND.defaults)(deployment);
}
