//! What agents may do: their own node and lease, the pods bound to them, and what those pods mention.
//!
//! Upstream's Node authorizer without its graph: the pods of the node are looked up in the local replica when a Secret
//! or ConfigMap is asked for, which agents do once a pod.

use super::Attributes;
use crate::{storage::Storage, user::UserInfo};

/// Where agents' leases live.
pub(crate) const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Rules that hold for every agent whatever the object: group, resource with subresource, verbs.
const ALWAYS: &[(&str, &str, &[&str])] = &[
    ("", "nodes", &["get", "list", "watch", "create", "update", "patch"]),
    ("", "nodes/status", &["update", "patch"]),
    ("", "services", &["get", "list", "watch"]),
    ("", "namespaces", &["get", "list", "watch"]),
    ("discovery.k8s.io", "endpointslices", &["get", "list", "watch"]),
    ("", "events", &["create", "update", "patch"]),
    ("events.k8s.io", "events", &["create", "update", "patch"]),
    // NodeRestriction admits these for the agent's own pods only.
    ("", "pods", &["create", "delete"]),
    ("", "pods/status", &["update", "patch"]),
    ("", "pods/eviction", &["create"]),
    ("", "serviceaccounts/token", &["create"]),
    ("authentication.k8s.io", "tokenreviews", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", &["create"]),
    ("authorization.k8s.io", "localsubjectaccessreviews", &["create"]),
    ("certificates.k8s.io", "certificatesigningrequests", &["create", "get", "list", "watch"]),
    ("", "endpoints", &["get"]),
    ("node.k8s.io", "runtimeclasses", &["get", "list", "watch"]),
    ("storage.k8s.io", "csidrivers", &["get", "list", "watch"]),
];

/// Answers for agents.
#[derive(Clone)]
pub(crate) struct NodeAuthorizer {
    storage: Storage,
}

impl NodeAuthorizer {
    /// An authorizer that looks pods up in `storage`.
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    /// True when the caller is an agent and the request is about what concerns it.
    pub(crate) fn allows(&self, user: &UserInfo, request: &Attributes<'_>) -> bool {
        let Some(node) = user.node_name() else { return false };
        if !request.is_resource {
            return request.verb == "get"
                && ["/api", "/apis", "/version", "/healthz", "/livez", "/readyz", "/openapi"].iter().any(|path| {
                    request.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
        }
        let (resource, subresource) = (request.resource, request.subresource);
        let always = ALWAYS.iter().any(|(group, rule, verbs)| {
            let (own, sub) = rule.split_once('/').unwrap_or((rule, ""));
            *group == request.group && own == resource && sub == subresource && verbs.contains(&request.verb)
        });
        if always {
            return true;
        }
        let read = matches!(request.verb, "get" | "list" | "watch");
        match (request.group, resource, subresource) {
            ("coordination.k8s.io", "leases", "") => {
                request.namespace == LEASE_NAMESPACE
                    && (request.name == node || (request.verb == "create" && request.name.is_empty()))
                    && matches!(request.verb, "get" | "create" | "update" | "patch" | "delete")
            }
            ("", "pods", "") if request.verb == "get" => self
                .storage
                .local_field("", "pods", request.namespace, request.name, "spec.nodeName")
                .is_some_and(|bound| bound == node),
            ("", "pods", "") if read => request.selected_node == Some(node),
            ("", "secrets" | "configmaps", "") if read && !request.name.is_empty() => {
                self.mentions(node, resource, request.namespace, request.name)
            }
            ("", "persistentvolumeclaims", "") if request.verb == "get" => {
                self.mentions(node, resource, request.namespace, request.name)
            }
            ("", "persistentvolumeclaims", "status") if matches!(request.verb, "get" | "update" | "patch") => {
                self.mentions(node, resource, request.namespace, request.name)
            }
            ("", "persistentvolumes", "") if request.verb == "get" => self.claims(node, request.name),
            ("storage.k8s.io", "volumeattachments", "") if request.verb == "get" => {
                let attachment = self.storage.local_json("storage.k8s.io", "volumeattachments", "", request.name);
                attachment.is_some_and(|attachment| attachment["spec"]["nodeName"] == node)
            }
            ("storage.k8s.io", "csinodes", "") => {
                (request.name == node || (request.verb == "create" && request.name.is_empty()))
                    && matches!(request.verb, "get" | "create" | "update" | "patch" | "delete")
            }
            ("", "serviceaccounts", "") if request.verb == "get" => true,
            _ => false,
        }
    }

    /// True when a pod bound to the node mentions the claim that the volume belongs to.
    fn claims(&self, node: &str, volume: &str) -> bool {
        let Some(volume) = self.storage.local_json("", "persistentvolumes", "", volume) else { return false };
        let text = |field: &str| volume["spec"]["claimRef"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        !name.is_empty() && self.mentions(node, "persistentvolumeclaims", &namespace, &name)
    }

    /// True when a pod bound to the node mentions the object.
    fn mentions(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let mut found = false;
        self.storage.visit_local("", "pods", namespace, |pods, pod| {
            if pods.field(pod.header(), "spec.nodeName") == Some(node) {
                found |= serde_json::from_slice::<serde_json::Value>(pod.json())
                    .is_ok_and(|pod| pod_mentions(&pod["spec"], resource, name));
            }
            !found
        });
        found
    }
}

/// True when a pod's spec mentions the object in a volume, an environment variable or a pull secret.
fn pod_mentions(spec: &serde_json::Value, resource: &str, name: &str) -> bool {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let is = |value: &serde_json::Value| value.as_str() == Some(name);
    let (volume, field, from, key) = match resource {
        "secrets" => ("secret", "secretName", "secretRef", "secretKeyRef"),
        "configmaps" => ("configMap", "name", "configMapRef", "configMapKeyRef"),
        _ => {
            return list(&spec["volumes"]).iter().any(|entry| is(&entry["persistentVolumeClaim"]["claimName"]));
        }
    };
    let in_volume = list(&spec["volumes"]).iter().any(|entry| {
        let projected = list(&entry["projected"]["sources"]);
        is(&entry[volume][field]) || projected.iter().any(|source| is(&source[volume]["name"]))
    });
    let in_container = ["containers", "initContainers", "ephemeralContainers"].iter().any(|containers| {
        list(&spec[*containers]).iter().any(|container| {
            list(&container["envFrom"]).iter().any(|source| is(&source[from]["name"]))
                || list(&container["env"]).iter().any(|variable| is(&variable["valueFrom"][key]["name"]))
        })
    });
    let pulls = resource == "secrets" && list(&spec["imagePullSecrets"]).iter().any(|entry| is(&entry["name"]));
    in_volume || in_container || pulls
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_mentions_what_it_mounts_reads_and_pulls_with() {
        let spec = json!({
            "volumes": [
                {"secret": {"secretName": "mounted"}},
                {"projected": {"sources": [{"configMap": {"name": "root-ca"}}]}},
                {"persistentVolumeClaim": {"claimName": "data"}},
            ],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "key"}}}], "envFrom": [{"configMapRef": {"name": "all"}}]}],
            "imagePullSecrets": [{"name": "pull"}],
        });
        for (resource, name, expected) in [
            ("secrets", "mounted", true),
            ("secrets", "key", true),
            ("secrets", "pull", true),
            ("secrets", "other", false),
            ("configmaps", "root-ca", true),
            ("configmaps", "all", true),
            ("configmaps", "key", false),
            ("persistentvolumeclaims", "data", true),
        ] {
            assert_eq!(pod_mentions(&spec, resource, name), expected, "{resource} {name}");
        }
    }
}
