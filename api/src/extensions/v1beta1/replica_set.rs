//! `ReplicaSet` as old manifests write it: a view of the ReplicaSets of `apps/v1`, with other defaults.

use crate::apps::v1::{replica_set as present, select_by_template};
use crate::kind::Kind;
use crate::node::Struct;

/// The kind.
pub static KIND: Kind = Kind {
    defaults,
    ..Kind::view(
        &present::KIND,
        "extensions",
        "v1beta1",
        "extensions/v1beta1 ReplicaSet is deprecated in v1.8+, unavailable in v1.16+ of Kubernetes; use apps/v1 ReplicaSet",
    )
};

fn defaults(set: &mut Struct) {
    select_by_template(set);
    (present::KIND.defaults)(set);
}
