//! `ClusterRole`: what may be done in every namespace, outside of namespaces, and at URLs that are no resources.

use super::rules::{self, Reach};
use crate::kind::{Kind, Scope};
use crate::schema::types;
use crate::selector;
use crate::validation::Path;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "clusterroles",
    singular: "clusterrole",
    kind: "ClusterRole",
    scope: Scope::Cluster,
    ty: &types::RBAC_V1_CLUSTER_ROLE,
    columns: rules::ROLE_COLUMNS,
    row: rules::role_row,
    check: |role, errors| {
        rules::check_rules(role, Reach::Cluster, errors);
        let path = Path::Root.field("aggregationRule");
        let path = path.field("clusterRoleSelectors");
        let selectors = role.body.items_at("aggregationRule.clusterRoleSelectors");
        if role.at("aggregationRule").is_some() && selectors.is_empty() {
            errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (index, node) in selectors.iter().enumerate() {
            selector::check_object(Some(node), &path.index(index), errors);
        }
    },
    ..rules::BASE
};
