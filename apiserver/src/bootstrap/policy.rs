//! The roles and bindings every cluster begins with, under Kubernetes' names.
//!
//! Lists are written as words with blanks between them; `core` stands for the group without a name. `admin`, `edit` and
//! `view` begin with rules, and get from then on what the roles say that they select by label: those of this file, and those
//! that others bring.

use serde_json::{Value, json};

/// Groups, resources, verbs.
pub(super) type Rule = (&'static str, &'static str, &'static str);

pub(super) const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";

const VIEW: &[Rule] = &[
    (
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
      replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        READ,
    ),
    (
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
      resourcequotas resourcequotas/status namespaces",
        READ,
    ),
    ("discovery.k8s.io", "endpointslices", READ),
    (
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
      replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    (
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status \
      networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        READ,
    ),
    ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
    ("resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ),
];

const EDIT: &[Rule] = &[
    ("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
    ("core", "serviceaccounts", "impersonate"),
    ("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
    ("core", "pods/eviction", "create"),
    (
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
      serviceaccounts services services/proxy",
        WRITE,
    ),
    ("core", "serviceaccounts/token", "create"),
    (
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale \
      statefulsets statefulsets/scale",
        WRITE,
    ),
    ("autoscaling", "horizontalpodautoscalers", WRITE),
    ("batch", "cronjobs jobs", WRITE),
    (
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets \
      replicasets/scale replicationcontrollers/scale",
        WRITE,
    ),
    ("policy", "poddisruptionbudgets", WRITE),
    ("networking.k8s.io", "ingresses networkpolicies", WRITE),
    ("resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE),
    ("coordination.k8s.io", "leases", ALL),
];

const ADMIN: &[Rule] = &[
    ("authorization.k8s.io", "localsubjectaccessreviews", "create"),
    ("rbac.authorization.k8s.io", "rolebindings roles", ALL),
];

const BASIC_USER: &[Rule] = &[
    ("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
    ("authentication.k8s.io", "selfsubjectreviews", "create"),
];

const SCHEDULER: &[Rule] = &[
    ("core events.k8s.io", "events", "create patch update"),
    ("coordination.k8s.io", "leases", "create get list update watch"),
    ("core", "nodes namespaces replicationcontrollers services persistentvolumeclaims persistentvolumes", READ),
    ("core", "pods", "delete get list watch"),
    ("core", "bindings pods/binding", "create"),
    ("core", "pods/status", "patch update"),
    ("apps", "replicasets statefulsets", READ),
    ("policy", "poddisruptionbudgets", READ),
    ("storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses volumeattachments", READ),
    ("resource.k8s.io", "deviceclasses devicetaintrules resourceclaims resourceslices", READ),
    ("resource.k8s.io", "resourceclaims/status", "patch update"),
];

/// What all controllers together do; they run as one identity inside the masters.
const CONTROLLER_MANAGER: &[Rule] = &[
    // The namespace controller and the garbage collector meet every kind there is.
    ("*", "*", "delete deletecollection get list patch update watch"),
    ("core events.k8s.io", "events", "create patch update"),
    (
        "core",
        "configmaps endpoints namespaces/finalize nodes persistentvolumeclaims pods pods/eviction secrets \
      serviceaccounts serviceaccounts/token services",
        "create patch update",
    ),
    ("apps", "controllerrevisions replicasets", "create patch update"),
    ("batch", "jobs", "create patch update"),
    ("discovery.k8s.io", "endpointslices", "create patch update"),
    ("coordination.k8s.io", "leases", "create patch update"),
    ("authentication.k8s.io", "tokenreviews", "create"),
    ("authorization.k8s.io", "subjectaccessreviews", "create"),
    // What a role gets from the roles it selects need not be held by who puts it there.
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
];

const NODE: &[Rule] = &[
    ("authentication.k8s.io", "tokenreviews", "create"),
    ("authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", "create"),
    ("core", "services", READ),
    ("core", "nodes", "create get list watch"),
    ("core", "nodes/status", "patch update"),
    ("core", "nodes", "patch update"),
    ("core", "pods", "create delete get list watch"),
    ("core", "pods/status", "patch update"),
    ("core", "pods/eviction", "create"),
    ("core", "configmaps secrets", READ),
    ("core", "persistentvolumeclaims persistentvolumes", "get"),
    ("core", "serviceaccounts/token", "create"),
    ("coordination.k8s.io", "leases", "create delete get patch update"),
    ("discovery.k8s.io", "endpointslices", READ),
    ("core events.k8s.io", "events", "create patch update"),
    ("certificates.k8s.io", "certificatesigningrequests", "create get list watch"),
    ("certificates.k8s.io", "clustertrustbundles", READ),
    ("certificates.k8s.io", "podcertificaterequests", "create get list watch"),
    ("node.k8s.io", "runtimeclasses", READ),
    ("storage.k8s.io", "csidrivers", READ),
    ("storage.k8s.io", "csinodes", "create delete get patch update"),
    ("storage.k8s.io", "volumeattachments", "get"),
    ("resource.k8s.io", "resourceclaims", "get"),
    ("resource.k8s.io", "resourceslices", "create delete deletecollection get list patch update watch"),
];

const NODE_BOOTSTRAPPER: &[Rule] = &[("certificates.k8s.io", "certificatesigningrequests", "create get list watch")];

const TRUST_BUNDLE_DISCOVERY: &[Rule] = &[("certificates.k8s.io", "clustertrustbundles", READ)];

const VOLUME_SCHEDULER: &[Rule] =
    &[("core", "persistentvolumes", "get list patch update watch"), ("storage.k8s.io", "storageclasses", READ)];

const VOLUME_PROVISIONER: &[Rule] = &[
    ("core", "persistentvolumes", "create delete get list watch"),
    ("core", "persistentvolumeclaims", "get list update watch"),
    ("storage.k8s.io", "storageclasses", READ),
    ("core", "events", "watch create update patch"),
];

const NODE_PROXIER: &[Rule] = &[
    ("core", "endpoints services", "list watch"),
    ("core", "nodes", READ),
    ("core events.k8s.io", "events", "create patch update"),
    ("discovery.k8s.io", "endpointslices", "list watch"),
    ("networking.k8s.io", "servicecidrs", "list watch"),
];

const AUTH_DELEGATOR: &[Rule] =
    &[("authentication.k8s.io", "tokenreviews", "create"), ("authorization.k8s.io", "subjectaccessreviews", "create")];

const KUBELET_API: &[Rule] = &[
    ("core", "nodes", "get list watch proxy"),
    (
        "core",
        "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
        "*",
    ),
];

/// What parts of the system that are not in this process may do, where a cluster has them.
const AGGREGATOR: &[Rule] = &[("core", "endpoints services", READ)];
const DNS: &[Rule] = &[("core", "endpoints services", "list watch")];
const HEAPSTER: &[Rule] = &[("core", "events namespaces nodes pods", READ), ("extensions", "deployments", READ)];
const NODE_CLIENT: &[Rule] = &[("certificates.k8s.io", "certificatesigningrequests/nodeclient", "create")];
const SELF_NODE_CLIENT: &[Rule] = &[("certificates.k8s.io", "certificatesigningrequests/selfnodeclient", "create")];

const NODE_PROBLEM_DETECTOR: &[Rule] = &[
    ("core", "nodes", "get"),
    ("core", "nodes/status", "patch"),
    ("core events.k8s.io", "events", "create patch update"),
];

/// Roles of those who approve certificates: the name behind `system:certificates.k8s.io:`, and the signer.
const APPROVERS: &[(&str, &str)] = &[
    ("kube-apiserver-client-approver", "kubernetes.io/kube-apiserver-client"),
    ("kube-apiserver-client-kubelet-approver", "kubernetes.io/kube-apiserver-client-kubelet"),
    ("kubelet-serving-approver", "kubernetes.io/kubelet-serving"),
    ("legacy-unknown-approver", "kubernetes.io/legacy-unknown"),
];

const ISSUER: &str =
    "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/";

/// A ClusterRole: its name, its rules, the paths outside resources it may get.
struct Role(&'static str, &'static [&'static [Rule]], &'static str);

const ROLES: &[Role] = &[
    Role("cluster-admin", &[&[("*", "*", "*")]], "*"),
    Role("system:aggregate-to-admin", &[ADMIN], ""),
    Role("system:aggregate-to-edit", &[EDIT], ""),
    Role("system:aggregate-to-view", &[VIEW], ""),
    Role("system:basic-user", &[BASIC_USER], ""),
    Role(
        "system:discovery",
        &[],
        "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
    Role("system:public-info-viewer", &[], "/healthz /livez /readyz /version /version/"),
    Role("system:monitoring", &[], "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    Role("system:service-account-issuer-discovery", &[], ISSUER),
    Role("system:auth-delegator", &[AUTH_DELEGATOR], ""),
    Role("system:kube-scheduler", &[SCHEDULER], ""),
    Role("system:kube-controller-manager", &[CONTROLLER_MANAGER], ""),
    Role("system:kubelet-api-admin", &[KUBELET_API], ""),
    Role("system:node", &[NODE], ""),
    Role("system:node-proxier", &[NODE_PROXIER], ""),
    Role("system:kube-aggregator", &[AGGREGATOR], ""),
    Role("system:kube-dns", &[DNS], ""),
    Role("system:heapster", &[HEAPSTER], ""),
    Role("system:node-bootstrapper", &[NODE_BOOTSTRAPPER], ""),
    Role("system:node-problem-detector", &[NODE_PROBLEM_DETECTOR], ""),
    Role("system:persistent-volume-provisioner", &[VOLUME_PROVISIONER], ""),
    Role("system:volume-scheduler", &[VOLUME_SCHEDULER], ""),
    Role("system:cluster-trust-bundle-discovery", &[TRUST_BUNDLE_DISCOVERY], ""),
    Role("system:certificates.k8s.io:certificatesigningrequests:nodeclient", &[NODE_CLIENT], ""),
    Role("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", &[SELF_NODE_CLIENT], ""),
];

/// Roles that select others: the name, the one that selects this one in turn, and the rules to begin with.
const AGGREGATED: [(&str, &str, &[&[Rule]]); 3] =
    [("admin", "", &[VIEW, EDIT, ADMIN]), ("edit", "admin", &[VIEW, EDIT]), ("view", "edit", &[VIEW])];
/// What the label begins with by which a role is selected; the name of the one that selects it follows.
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// The ClusterRole's name, and the user or group it is bound to.
const BINDINGS: &[(&str, &str, &str)] = &[
    ("cluster-admin", "Group", "system:masters"),
    ("system:basic-user", "Group", "system:authenticated"),
    ("system:discovery", "Group", "system:authenticated"),
    ("system:public-info-viewer", "Group", "system:authenticated system:unauthenticated"),
    ("system:monitoring", "Group", "system:monitoring"),
    ("system:service-account-issuer-discovery", "Group", "system:serviceaccounts"),
    ("system:cluster-trust-bundle-discovery", "Group", "system:serviceaccounts"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"),
    ("system:volume-scheduler", "User", "system:kube-scheduler"),
    ("system:kube-controller-manager", "User", "system:kube-controller-manager"),
    ("system:node-proxier", "User", "system:kube-proxy"),
];

pub(super) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

pub(super) fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    })
}

pub(super) fn rule((groups, resources, verbs): &Rule) -> Value {
    let groups: Vec<&str> = words(groups).into_iter().map(|group| if group == "core" { "" } else { group }).collect();
    json!({ "apiGroups": groups, "resources": words(resources), "verbs": words(verbs) })
}

/// The ClusterRoles that select others; their rules are a controller's matter once they are there.
pub(crate) fn aggregated_roles() -> Vec<Value> {
    let role = |(name, by, rules): (&str, &str, &[&[Rule]])| {
        let mut metadata = metadata(name);
        if !by.is_empty() {
            metadata["labels"][format!("{AGGREGATE}{by}")] = "true".into();
        }
        let rules: Vec<Value> = rules.iter().copied().flatten().map(rule).collect();
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
            "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { (format!("{AGGREGATE}{name}")): "true" } }] },
            "rules": rules,
        })
    };
    AGGREGATED.map(role).into()
}

/// Every other ClusterRole.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let role = |Role(name, rules, paths): &Role| {
        let mut rules: Vec<Value> = rules.iter().copied().flatten().map(rule).collect();
        if !paths.is_empty() {
            let verbs = if *paths == "*" { "*" } else { "get" };
            rules.push(json!({ "nonResourceURLs": words(paths), "verbs": [verbs] }));
        }
        let mut metadata = metadata(name);
        if let Some(to) = name.strip_prefix("system:aggregate-to-") {
            metadata["labels"][format!("{AGGREGATE}{to}")] = "true".into();
        }
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        })
    };
    let approver = |(name, signer): &(&str, &str)| {
        let rule = json!({
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer],
            "verbs": ["approve"],
        });
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": metadata(&format!("system:certificates.k8s.io:{name}")), "rules": [rule],
        })
    };
    ROLES.iter().map(role).chain(APPROVERS.iter().map(approver)).collect()
}

/// The ConfigMap in kube-system that says whom this server trusts.
pub(crate) const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// The Role of those who may read it.
pub(crate) fn authentication_reader() -> Value {
    let mut metadata = metadata(&format!("{AUTHENTICATION}-reader"));
    metadata["namespace"] = "kube-system".into();
    let rule = json!({
        "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [AUTHENTICATION], "verbs": words(READ),
    });
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [rule] })
}

/// Every ClusterRoleBinding.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let binding = |(role, kind, names): &(&str, &str, &str)| {
        let subject = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
        let subjects: Vec<Value> = words(names).into_iter().map(subject).collect();
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata(role),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        })
    };
    BINDINGS.iter().map(binding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binding_names_a_role() {
        for (role, ..) in BINDINGS {
            assert!(ROLES.iter().any(|Role(name, ..)| name == role), "{role}");
        }
    }

    #[test]
    fn the_core_group_has_no_name() {
        let roles = cluster_roles();
        let view = roles.iter().find(|role| role["metadata"]["name"] == "system:aggregate-to-view").unwrap();
        assert_eq!(view["rules"][0]["apiGroups"][0], "");
        let selected = &aggregated_roles()[2]["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"];
        assert_eq!(
            view["metadata"]["labels"].get(format!("{AGGREGATE}view")),
            selected.get(format!("{AGGREGATE}view"))
        );
    }
}
