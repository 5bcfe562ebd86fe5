//! A cluster role with an aggregation rule allows what the roles allow that the rule selects.

use std::collections::BTreeMap;

use client::Key;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use crate::caches::resources::CLUSTER_ROLES;
use crate::meta;
use crate::plan::{Action, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "cluster_role_aggregation",
    component: "clusterrole-aggregation-controller",
    workers: 1,
    watches: &[Watch { resource: Some(CLUSTER_ROLES), keys: of_any }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The role.
    pub role: &'a ClusterRole,
    /// Every cluster role, in the order of their names.
    pub roles: &'a [ClusterRole],
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(rule) = &view.role.aggregation_rule else { return plan };
    let name = view.role.metadata.name.clone().unwrap_or_default();
    let selectors = rule.cluster_role_selectors.iter().flatten();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        for other in view.roles.iter().filter(|other| other.metadata.name.as_ref() != Some(&name)) {
            if selects(selector, other.metadata.labels.as_ref()) {
                for rule in other.rules.iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
    }
    if view.role.rules.clone().unwrap_or_default() != rules {
        let patch = json!({ "rules": rules });
        plan.act(Action::Patch { resource: CLUSTER_ROLES, key: Key::new("", name), subresource: "", patch });
    }
    plan
}

fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    meta::selector(selector).is_some_and(|selector| {
        labels.map_or_else(
            || meta::selects_labels(&selector, &BTreeMap::new()),
            |labels| meta::selects_labels(&selector, labels),
        )
    })
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let role: ClusterRole = context.caches.typed(&CLUSTER_ROLES, &item.key)?;
    role.aggregation_rule.as_ref()?;
    let entries = context.caches.of(&CLUSTER_ROLES).list();
    let mut roles: Vec<ClusterRole> =
        entries.iter().filter_map(|entry| serde_json::from_slice(entry.object.json()).ok()).collect();
    roles.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    Some(reconcile(&View { role: &role, roles: &roles }))
}

/// Any role may be one that another one selects. Which of them select is seen when each is looked at, once for many changes: at a
/// start all roles come one after the other.
fn of_any(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    for entry in occurrence.caches.of(&CLUSTER_ROLES).list() {
        wake(Item::new(CLUSTER_ROLES, Key::of(&entry.object)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    fn role(name: &str, labels: &str, rest: &str) -> String {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {name}, labels: {labels}}}, {rest}}}"
        )
    }

    #[test]
    fn a_role_allows_what_the_roles_allow_that_it_selects() {
        let rule = "{verbs: [get], apiGroups: [''], resources: [pods]}";
        let selector = "aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: all}}]}";
        let other = role("one", "{to: all}", &format!("rules: [{rule}]"));
        let stranger = role("stranger", "{to: none}", "rules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*']}]");
        let all = |rules: &str| {
            let own = role("all", "{to: all}", &format!("{selector}, rules: {rules}"));
            [own, other.clone(), stranger.clone()].join("\n---\n")
        };
        check(
            &CONTROLLER,
            "clusterroles all",
            &all("[]"),
            expect![[r#"
            patch clusterroles.rbac.authorization.k8s.io all {"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
        "#]],
        );
        check(
            &CONTROLLER,
            "clusterroles all",
            &all(&format!("[{rule}]")),
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}
