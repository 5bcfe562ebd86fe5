//! Every living namespace has the config map `kube-root-ca.crt`: what its pods trust when they talk to the API.

use std::collections::BTreeMap;

use client::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::caches::resources::{CONFIG_MAPS, NAMESPACES};
use crate::namespace::is_active;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Action, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains the certificate authority by which pods verify the API server at its usual internal addresses. \
     No other use is guaranteed.",
);

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "root_ca_publisher",
    component: "root-ca-certificate-publisher",
    workers: 1,
    watches: &[
        Watch { resource: Some(NAMESPACES), keys: itself },
        Watch { resource: Some(CONFIG_MAPS), keys: of_config_map },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// The config map, if there is one.
    pub present: Option<&'a ConfigMap>,
    /// What it should say.
    pub root_ca_pem: &'a str,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if view.root_ca_pem.is_empty() || !is_active(view.namespace) {
        return plan;
    }
    let namespace = view.namespace.metadata.name.clone().unwrap_or_default();
    let data = BTreeMap::from([(FILE.to_owned(), view.root_ca_pem.to_owned())]);
    match view.present {
        None => {
            let (name, text) = DESCRIPTION;
            let config_map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    namespace: Some(namespace),
                    annotations: Some(BTreeMap::from([(name.to_owned(), text.to_owned())])),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            plan.act(Action::Create { resource: CONFIG_MAPS, body: to_json(&config_map) });
        }
        Some(present) if present.data.as_ref() != Some(&data) => {
            let patch = json!({"data": data});
            let key = Key::new(namespace, NAME);
            plan.act(Action::Patch { resource: CONFIG_MAPS, key, subresource: "", patch });
        }
        Some(_) => {}
    }
    plan
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let namespace: Namespace = context.caches.typed(&NAMESPACES, &item.key)?;
    let present: Option<ConfigMap> = context.caches.typed(&CONFIG_MAPS, &Key::new(item.key.name.clone(), NAME));
    let root_ca_pem = &context.settings.root_ca_pem;
    Some(reconcile(&View { namespace: &namespace, present: present.as_ref(), root_ca_pem }))
}

fn of_config_map(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if &*occurrence.key.name == NAME {
        wake(Item::new(NAMESPACES, Key::new("", occurrence.key.namespace.clone())));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}";

    #[test]
    fn the_authority_is_published_and_repaired() {
        let with = |data: &str| {
            let metadata = "metadata: {name: kube-root-ca.crt, namespace: a}";
            format!("{NAMESPACE}\n---\n{{apiVersion: v1, kind: ConfigMap, {metadata}, data: {data}}}")
        };
        check(
            &CONTROLLER,
            "namespaces a",
            &with("{ca.crt: other}"),
            expect![[r#"
            patch configmaps a/kube-root-ca.crt {"data":{"ca.crt":"PEM"}}
        "#]],
        );
        check(
            &CONTROLLER,
            "namespaces a",
            &with("{ca.crt: PEM}"),
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}
