//! What users do with Services: some select what one owner made, one selects all pods, one has no address, some have a node port.

use serde_json::json;

use super::{Kind, STATEFUL_SET, User};

const SERVICES: Kind = Kind { root: "/api/v1", plural: "services", stored: "services" };
const NAMES: [&str; 3] = ["front", "back", "peers"];
/// Where clients connect, and where pods listen.
pub(crate) const PORT: u16 = 80;
pub(crate) const TARGET_PORT: u16 = 8080;
/// A label of every pod.
pub(super) const TIER: &str = "tier";

impl User {
    pub(super) async fn service(&mut self, namespace: &str) {
        let name = *self.chance.pick(&NAMES);
        match self.chance.below(5) {
            0 => self.delete(SERVICES, namespace, name).await,
            1 | 2 => {
                // Nothing is left of what was selected before.
                let mut selector = json!({"app": null, TIER: null});
                let (label, value) = self.selected();
                selector[label] = value.into();
                self.patch(SERVICES, namespace, name, json!({"spec": {"selector": selector}})).await;
            }
            _ => self.serve(namespace, name).await,
        }
    }

    async fn serve(&mut self, namespace: &str, name: &str) {
        let (label, value) = self.selected();
        let ports = json!([{"port": PORT, "targetPort": TARGET_PORT}]);
        let mut spec = json!({"selector": {label: value}, "ports": ports});
        match name {
            "peers" => spec["clusterIP"] = "None".into(),
            _ if self.chance.one_in(3) => spec["type"] = "NodePort".into(),
            _ => {}
        }
        self.create(SERVICES, namespace, name, json!({"spec": spec})).await;
    }

    /// A label and its value.
    fn selected(&self) -> (&'static str, &'static str) {
        let app = *self.chance.pick(&["web0", "web1", "web2", "alone", STATEFUL_SET]);
        if self.chance.one_in(4) { (TIER, "pods") } else { ("app", app) }
    }
}
