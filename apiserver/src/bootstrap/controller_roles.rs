//! The roles of Kubernetes' own controllers, each bound to its service account in kube-system.
//!
//! Our controllers act as one user. These are for parts of a controller manager that someone runs beside them, and for what
//! binds itself to such a role.

use serde_json::{Value, json};

use super::policy::{READ, Rule, metadata, rule, words};

const PREFIX: &str = "system:controller:";

const EVENTS: Rule = ("core events.k8s.io", "events", "create patch update");
const ALL: &str = "create delete get list patch update watch";
const OWN_PODS: Rule = ("core", "pods", "create delete list patch watch");

/// A name behind the prefix, and what that controller may do.
#[rustfmt::skip]
const ROLES: &[(&str, &[Rule])] = &[
    ("attachdetach-controller", &[
        ("core", "persistentvolumeclaims persistentvolumes pods", "list watch"),
        ("core", "nodes", READ),
        ("core", "nodes/status", "patch update"),
        ("storage.k8s.io", "volumeattachments", "create delete get list watch"),
        ("storage.k8s.io", "csidrivers csinodes", READ),
        EVENTS,
    ]),
    ("clusterrole-aggregation-controller", &[
        ("rbac.authorization.k8s.io", "clusterroles", "escalate get list patch update watch"),
    ]),
    ("cronjob-controller", &[
        ("batch", "cronjobs", "get list update watch"),
        ("batch", "jobs", ALL),
        ("batch", "cronjobs/finalizers cronjobs/status", "update"),
        ("core", "pods", "delete list watch"),
        EVENTS,
    ]),
    ("daemon-set-controller", &[
        ("apps extensions", "daemonsets", READ),
        ("apps extensions", "daemonsets/finalizers daemonsets/status", "update"),
        ("core", "nodes", "list watch"),
        OWN_PODS,
        ("core", "pods/binding", "create"),
        ("apps", "controllerrevisions", ALL),
        EVENTS,
    ]),
    ("deployment-controller", &[
        ("apps extensions", "deployments", "get list update watch"),
        ("apps extensions", "deployments/finalizers deployments/status", "update"),
        ("apps extensions", "replicasets", ALL),
        ("core", "pods", "get list update watch"),
        EVENTS,
    ]),
    ("device-taint-eviction-controller", &[
        ("core", "pods", "delete get list watch"),
        ("core", "pods/status", "patch update"),
        ("resource.k8s.io", "deviceclasses resourceclaims resourceslices", READ),
        EVENTS,
    ]),
    ("disruption-controller", &[
        ("apps extensions", "deployments replicasets", READ),
        ("apps", "statefulsets", READ),
        ("core", "replicationcontrollers", READ),
        ("policy", "poddisruptionbudgets", READ),
        ("policy", "poddisruptionbudgets/status", "update"),
        ("core", "pods/status", "patch update"),
        ("*", "*/scale", "get"),
        EVENTS,
    ]),
    ("endpoint-controller", &[
        ("core", "pods services", READ),
        ("core", "endpoints", "create delete get list update watch"),
        ("core", "endpoints/restricted", "create"),
        EVENTS,
    ]),
    ("endpointslice-controller", &[
        ("core", "nodes pods services", READ),
        ("core", "services/finalizers", "update"),
        ("discovery.k8s.io", "endpointslices", "create delete get list update watch"),
        EVENTS,
    ]),
    ("endpointslicemirroring-controller", &[
        ("core", "endpoints services", READ),
        ("core", "endpoints/finalizers services/finalizers", "update"),
        ("discovery.k8s.io", "endpointslices", "create delete get list update watch"),
        EVENTS,
    ]),
    ("ephemeral-volume-controller", &[
        ("core", "pods", READ),
        ("core", "pods/finalizers", "update"),
        ("core", "persistentvolumeclaims", "create get list watch"),
        EVENTS,
    ]),
    ("expand-controller", &[
        ("core", "persistentvolumes", "get list patch update watch"),
        ("core", "persistentvolumeclaims", READ),
        ("core", "persistentvolumeclaims/status", "patch update"),
        EVENTS,
    ]),
    ("generic-garbage-collector", &[("*", "*", "delete get list patch update watch"), EVENTS]),
    ("horizontal-pod-autoscaler", &[
        ("autoscaling", "horizontalpodautoscalers", READ),
        ("autoscaling", "horizontalpodautoscalers/status", "update"),
        ("*", "*/scale", "get update"),
        ("core metrics.k8s.io", "pods", "list watch"),
        ("custom.metrics.k8s.io external.metrics.k8s.io", "*", READ),
        EVENTS,
    ]),
    ("job-controller", &[
        ("batch", "jobs", "get list patch update watch"),
        ("batch", "jobs/finalizers jobs/status", "update"),
        OWN_PODS,
        EVENTS,
    ]),
    ("namespace-controller", &[
        ("core", "namespaces", "delete get list watch"),
        ("core", "namespaces/finalize namespaces/status", "update"),
        ("*", "*", "delete deletecollection get list watch"),
    ]),
    ("node-controller", &[
        ("core", "nodes", "delete get list patch update watch"),
        ("core", "nodes/status pods/status", "patch update"),
        ("core", "pods", "delete get list watch"),
        EVENTS,
    ]),
    ("persistent-volume-binder", &[
        ("core", "persistentvolumes", "create delete get list update watch"),
        ("core", "persistentvolumeclaims", "get list update watch"),
        ("core", "persistentvolumeclaims/status persistentvolumes/status", "update"),
        ("core", "pods", "create delete get list watch"),
        ("core", "nodes", "list watch"),
        ("storage.k8s.io", "storageclasses", READ),
        EVENTS,
        ("core", "events", "watch"),
    ]),
    ("pod-garbage-collector", &[
        ("core", "pods", "delete list watch"),
        ("core", "pods/status", "patch"),
        ("core", "nodes", READ),
    ]),
    ("pv-protection-controller", &[("core", "persistentvolumes", "get list update watch"), EVENTS]),
    ("pvc-protection-controller", &[
        ("core", "persistentvolumeclaims", "get list update watch"),
        ("core", "persistentvolumeclaims/status", "update"),
        ("core", "pods", READ),
        EVENTS,
    ]),
    ("replicaset-controller", &[
        ("apps extensions", "replicasets", "get list update watch"),
        ("apps extensions", "replicasets/finalizers replicasets/status", "update"),
        OWN_PODS,
        EVENTS,
    ]),
    ("replication-controller", &[
        ("core", "replicationcontrollers", "get list update watch"),
        ("core", "replicationcontrollers/finalizers replicationcontrollers/status", "update"),
        OWN_PODS,
        EVENTS,
    ]),
    ("resource-claim-controller", &[
        ("core", "pods", READ),
        ("core", "pods/finalizers", "update"),
        ("core", "pods/status", "patch update"),
        ("resource.k8s.io", "resourceclaims", "create delete get list patch update watch"),
        ("resource.k8s.io", "resourceclaims/binding resourceclaims/status", "patch update"),
        EVENTS,
    ]),
    ("resourcequota-controller", &[
        ("*", "*", "list watch"),
        ("core", "resourcequotas/status", "update"),
        EVENTS,
    ]),
    ("root-ca-cert-publisher", &[("core", "configmaps", "create update"), EVENTS]),
    ("route-controller", &[("core", "nodes", "list watch"), ("core", "nodes/status", "patch"), EVENTS]),
    ("selinux-warning-controller", &[
        ("core", "persistentvolumeclaims persistentvolumes pods", READ),
        ("storage.k8s.io", "csidrivers", READ),
        EVENTS,
    ]),
    ("service-account-controller", &[("core", "serviceaccounts", "create"), EVENTS]),
    ("service-cidrs-controller", &[
        ("networking.k8s.io", "servicecidrs", "get list patch update watch"),
        ("networking.k8s.io", "servicecidrs/finalizers servicecidrs/status", "patch update"),
        ("networking.k8s.io", "ipaddresses", READ),
        EVENTS,
    ]),
    ("service-controller", &[
        ("core", "services", READ),
        ("core", "services/status", "patch update"),
        ("core", "nodes", "list watch"),
        EVENTS,
    ]),
    ("statefulset-controller", &[
        ("apps", "statefulsets", READ),
        ("apps", "statefulsets/finalizers statefulsets/status", "update"),
        ("core", "pods", ALL),
        ("core", "pods/finalizers", "update"),
        ("apps", "controllerrevisions", ALL),
        ("core", "persistentvolumeclaims", "create delete get list update watch"),
        EVENTS,
    ]),
    ("ttl-after-finished-controller", &[("batch", "jobs", "delete get list watch"), EVENTS]),
    ("ttl-controller", &[("core", "nodes", "list patch update watch"), EVENTS]),
    ("validatingadmissionpolicy-status-controller", &[
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", READ),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies/status", "get patch update"),
        EVENTS,
    ]),
    ("volumeattributesclass-protection-controller", &[
        ("core", "persistentvolumeclaims persistentvolumes", READ),
        ("storage.k8s.io", "volumeattributesclasses", "get list update watch"),
        EVENTS,
    ]),
];

/// Those with rules on objects of certain names.
fn named() -> [(&'static str, Vec<Value>); 2] {
    let of = |what: Rule, names: &str| {
        let mut rule = rule(&what);
        rule["resourceNames"] = words(names).into();
        rule
    };
    let signers = |verb, names| of(("certificates.k8s.io", "signers", verb), names);
    [
        (
            "certificate-controller",
            vec![
                rule(&("certificates.k8s.io", "certificatesigningrequests", "delete get list watch")),
                rule(&(
                    "certificates.k8s.io",
                    "certificatesigningrequests/approval certificatesigningrequests/status",
                    "update",
                )),
                signers("approve", "kubernetes.io/kube-apiserver-client-kubelet"),
                signers(
                    "sign",
                    "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                     kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
                ),
                rule(&("authorization.k8s.io", "subjectaccessreviews", "create")),
                rule(&EVENTS),
            ],
        ),
        (
            "legacy-service-account-token-cleaner",
            vec![
                of(("core", "configmaps", "get"), "kube-apiserver-legacy-service-account-token-tracking"),
                rule(&("core", "secrets", "delete patch")),
            ],
        ),
    ]
}

/// All of them, each with its binding.
pub(crate) fn objects() -> Vec<Value> {
    let plain = ROLES.iter().map(|(name, rules)| (*name, rules.iter().map(rule).collect()));
    plain.chain(named()).flat_map(|(name, rules)| with_binding(name, rules)).collect()
}

fn with_binding(name: &str, rules: Vec<Value>) -> [Value; 2] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let role = format!("{PREFIX}{name}");
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata(&role),
            "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata(&role),
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "namespace": "kube-system", "name": name }],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_has_its_role_and_is_bound_to_it() {
        let objects = objects();
        assert_eq!(objects.len(), 2 * (ROLES.len() + named().len()));
        assert!(ROLES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted by name");
        for pair in objects.chunks(2) {
            assert_eq!(pair[0]["metadata"]["name"], pair[1]["roleRef"]["name"]);
            let name = pair[1]["subjects"][0]["name"].as_str().unwrap();
            assert_eq!(pair[0]["metadata"]["name"], format!("system:controller:{name}"));
        }
    }
}
