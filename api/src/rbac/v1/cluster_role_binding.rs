//! `ClusterRoleBinding`: gives a role to somebody, everywhere.

use super::rules;
use crate::kind::{Kind, Scope};
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "clusterrolebindings",
    singular: "clusterrolebinding",
    kind: "ClusterRoleBinding",
    scope: Scope::Cluster,
    ty: &types::RBAC_V1_CLUSTER_ROLE_BINDING,
    columns: rules::BINDING_COLUMNS,
    row: rules::binding_row,
    defaults: rules::binding_defaults,
    check: |binding, errors| rules::check_binding(binding, &["ClusterRole"], errors),
    check_update: rules::check_binding_update,
    ..rules::BASE
};
