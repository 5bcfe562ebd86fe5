//! `RoleBinding`: gives a role to somebody, in one namespace.

use super::rules;
use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "rolebindings",
    singular: "rolebinding",
    kind: "RoleBinding",
    ty: &types::RBAC_V1_ROLE_BINDING,
    columns: rules::BINDING_COLUMNS,
    row: rules::binding_row,
    defaults: rules::binding_defaults,
    check: |binding, errors| rules::check_binding(binding, &["ClusterRole", "Role"], errors),
    check_update: rules::check_binding_update,
    ..rules::BASE
};
