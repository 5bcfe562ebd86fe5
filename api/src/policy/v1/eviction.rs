//! `Eviction`: a polite deletion of a pod. Posted to `pods/<name>/eviction`, never stored and in no table of
//! resources.

use crate::kind::{Kind, Scope};
use crate::schema::types;

/// The body of `pods/eviction`.
pub static KIND: Kind = Kind {
    group: "policy",
    plural: "evictions",
    singular: "eviction",
    kind: "Eviction",
    scope: Scope::Namespaced,
    ty: &types::POLICY_V1_EVICTION,
    ..Kind::QUESTION
};
