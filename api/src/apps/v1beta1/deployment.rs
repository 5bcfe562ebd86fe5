//! `Deployment` as old manifests write it: a view of the Deployments of `apps/v1`, with other defaults.

use crate::apps::v1::{deployment as present, select_by_template};
use crate::kind::Kind;
use crate::node::Struct;

/// The kind.
pub static KIND: Kind = Kind {
    defaults,
    ..Kind::view(
        &present::KIND,
        "apps",
        "v1beta1",
        "apps/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+ of Kubernetes; use apps/v1 Deployment",
    )
};

fn defaults(deployment: &mut Struct) {
    select_by_template(deployment);
    deployment.struct_at("spec").set_default("revisionHistoryLimit", 2_i64);
    (present::KIND.defaults)(deployment);
}
