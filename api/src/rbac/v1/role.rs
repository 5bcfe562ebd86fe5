//! `Role`: what may be done in one namespace.

use super::rules::{self, Reach};
use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "roles",
    singular: "role",
    kind: "Role",
    ty: &types::RBAC_V1_ROLE,
    columns: rules::ROLE_COLUMNS,
    row: rules::role_row,
    check: |role, errors| rules::check_rules(role, Reach::Namespace, errors),
    ..rules::BASE
};
