//! `StatefulSet` as old manifests write it: a view of the StatefulSets of `apps/v1`, with other defaults.

use crate::apps::v1::{select_by_template, stateful_set as present};
use crate::kind::Kind;
use crate::node::Struct;

/// The kind.
pub static KIND: Kind = Kind {
    defaults,
    ..Kind::view(
        &present::KIND,
        "apps",
        "v1beta1",
        "apps/v1beta1 StatefulSet is deprecated in v1.8+, unavailable in v1.16+ of Kubernetes; use apps/v1 StatefulSet",
    )
};

/// Pods were replaced only when somebody deleted them.
fn defaults(set: &mut Struct) {
    select_by_template(set);
    set.struct_at("spec").set_default("updateStrategy.type", "OnDelete");
    (present::KIND.defaults)(set);
}
