//! `ReplicaSet` as old manifests write it: a view of the ReplicaSets of `apps/v1`, with the same defaults.

use crate::apps::v1::replica_set as present;
use crate::kind::Kind;

/// The kind.
pub static KIND: Kind = Kind::view(
    &present::KIND,
    "apps",
    "v1beta2",
    "apps/v1beta2 ReplicaSet is deprecated in v1.9+, unavailable in v1.16+ of Kubernetes; use apps/v1 ReplicaSet",
);
