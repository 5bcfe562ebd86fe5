//! `DaemonSet` as old manifests write it: a view of the DaemonSets of `apps/v1`, with other defaults.

use crate::apps::v1::{daemon_set as present, select_by_template};
use crate::kind::Kind;
use crate::node::Struct;

/// The kind.
pub static KIND: Kind = Kind {
    defaults,
    ..Kind::view(
        &present::KIND,
        "extensions",
        "v1beta1",
        "extensions/v1beta1 DaemonSet is deprecated in v1.8+, unavailable in v1.16+ of Kubernetes; use apps/v1 DaemonSet",
    )
};

/// Pods were replaced only when somebody deleted them.
fn defaults(set: &mut Struct) {
    select_by_template(set);
    set.struct_at("spec").set_default("updateStrategy.type", "OnDelete");
    (present::KIND.defaults)(set);
}
