//! Nobody gives what they do not hold: writers of roles and bindings need every permission in them, or the verb
//! `escalate` (for roles) or `bind` (for bindings) on the role.

use api::{
    Object,
    status::{Grouped, Status},
};
use serde::Deserialize;

use super::{Change, Operation};
use crate::{
    authorization::{Attributes, rbac::PolicyRule},
    error::Result,
    user::MASTERS,
};

const GROUP: &str = "rbac.authorization.k8s.io";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rules {
    rules: Option<Vec<PolicyRule>>,
}

pub(super) async fn admit(change: &Change<'_>, object: &Object) -> Result<()> {
    if change.kind.group != GROUP || change.operation == Operation::Delete || change.user.in_group(MASTERS) {
        return Ok(());
    }
    let (verb, resource, name, rules) = match change.kind.plural {
        "roles" | "clusterroles" => {
            if change.old.is_some_and(|old| old.at("rules") == object.at("rules")) {
                return Ok(());
            }
            let json = api::json::encode(object);
            let rules: Rules = serde_json::from_slice(&json).unwrap_or_default();
            ("escalate", change.kind.plural, object.name(), rules.rules.unwrap_or_default())
        }
        _ => {
            let unchanged =
                |old: &Object| ["subjects", "roleRef"].iter().all(|field| old.at(field) == object.at(field));
            if change.old.is_some_and(unchanged) {
                return Ok(());
            }
            let name = object.str_at("roleRef.name");
            let cluster = object.str_at("roleRef.kind") == "ClusterRole";
            let roles = change.authorizer.roles.read();
            let rules = roles.rules_of(cluster, change.namespace, name).unwrap_or_default().to_vec();
            ("bind", if cluster { "clusterroles" } else { "roles" }, name, rules)
        }
    };
    let namespace = change.namespace;
    let asked =
        Attributes { verb, is_resource: true, group: GROUP, namespace, resource, name, ..Attributes::default() };
    if change.authorizer.allows(change.user, &asked) {
        return Ok(());
    }
    let missing = change.authorizer.roles.read().missing(change.user, namespace, &rules);
    let Some(missing) = missing else { return Ok(()) };
    let missing = serde_json::to_string(&missing).unwrap_or_default();
    let user = &change.user.name;
    let why = format!(
        "user \"{user}\" (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{missing}",
        change.user.groups
    );
    Err(Status::forbidden(Grouped::new(GROUP, change.kind.plural), object.name(), &why).into())
}
