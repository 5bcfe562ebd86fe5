//! Every living namespace has the service account `default`.

use client::Key;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::caches::resources::{NAMESPACES, SERVICE_ACCOUNTS};
use crate::namespace::is_active;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Action, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

const NAME: &str = "default";

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "service_account",
    component: "serviceaccount-controller",
    workers: 1,
    watches: &[
        Watch { resource: Some(NAMESPACES), keys: itself },
        Watch { resource: Some(SERVICE_ACCOUNTS), keys: of_deleted },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// Whether it has the account.
    pub present: bool,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if view.present || !is_active(view.namespace) {
        return plan;
    }
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: view.namespace.metadata.name.clone(),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    plan.act(Action::Create { resource: SERVICE_ACCOUNTS, body: to_json(&account) });
    plan
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let namespace: Namespace = context.caches.typed(&NAMESPACES, &item.key)?;
    let account = Key::new(item.key.name.clone(), NAME);
    let present = context.caches.get(&SERVICE_ACCOUNTS, &account).is_some();
    Some(reconcile(&View { namespace: &namespace, present }))
}

fn of_deleted(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.after.is_none() && &*occurrence.key.name == NAME {
        wake(Item::new(NAMESPACES, Key::new("", occurrence.key.namespace.clone())));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    #[test]
    fn a_namespace_gets_its_default_account() {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}";
        check(
            &CONTROLLER,
            "namespaces a",
            namespace,
            expect![[r#"
            create serviceaccounts a/default
        "#]],
        );
        let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: a}}";
        check(
            &CONTROLLER,
            "namespaces a",
            &format!("{namespace}\n---\n{account}"),
            expect![[r#"
            nothing to do
        "#]],
        );
    }

    #[test]
    fn a_terminating_namespace_gets_none() {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Terminating}}";
        check(
            &CONTROLLER,
            "namespaces a",
            namespace,
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}
