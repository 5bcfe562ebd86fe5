//! NodeRestriction: an agent changes its own node, its own lease and the pods bound to it, and nothing of others; and of
//! its own node it changes nothing by which it could draw pods to itself.

use std::collections::BTreeSet;

use api::{
    Map, Node, Object,
    status::{Grouped, Status},
};

use super::{Change, Operation};
use crate::error::{Error, Result};

/// The mark of a pod that an agent runs from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels of Kubernetes' own that an agent sets on its node.
const OWN_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Domains below Kubernetes' own in which an agent sets what it likes.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(super) fn admit(change: &Change<'_>, object: Option<&Object>) -> Result<()> {
    let Some(node) = change.user.node_name() else { return Ok(()) };
    match (change.kind.group, change.kind.plural) {
        ("", "nodes") => own_node(change, object, node),
        ("", "pods") => own_pod(change, object, node),
        ("coordination.k8s.io", "leases") => {
            let name = object.map_or(change.name, Object::name);
            let own = name == node && change.namespace == crate::authorization::node::LEASE_NAMESPACE;
            own.then_some(()).ok_or_else(|| refuse(change, "can only access its own lease"))
        }
        ("storage.k8s.io", "csinodes") => {
            let own = object.map_or(change.name, Object::name) == node;
            own.then_some(())
                .ok_or_else(|| refuse(change, "can only access CSINode with the same name as the requesting node"))
        }
        _ => Ok(()),
    }
}

fn own_node(change: &Change<'_>, object: Option<&Object>, node: &str) -> Result<()> {
    let name = object.map(Object::name).filter(|name| !name.is_empty()).unwrap_or(change.name);
    if name != node {
        return Err(refuse(change, &format!("node \"{node}\" is not allowed to modify node \"{name}\"")));
    }
    if change.operation == Operation::Delete {
        return Err(refuse(change, &format!("node \"{node}\" cannot delete itself")));
    }
    let Some(new) = object else { return Ok(()) };
    let forbidden = forbidden_labels(new.labels(), change.old.and_then(Object::labels)).join(", ");
    let Some(old) = change.old else {
        return if forbidden.is_empty() {
            Ok(())
        } else {
            Err(refuse(change, &format!("is not allowed to set the following labels: {forbidden}")))
        };
    };
    if !forbidden.is_empty() {
        return Err(refuse(change, &format!("is not allowed to modify labels: {forbidden}")));
    }
    for (path, what) in [("spec.taints", "taints"), ("metadata.ownerReferences", "ownerReferences")] {
        if new.body.items_at(path) != old.body.items_at(path) {
            return Err(refuse(change, &format!("node \"{node}\" is not allowed to modify {what}")));
        }
    }
    Ok(())
}

/// Labels of Kubernetes' own that differ and that are not an agent's to set.
fn forbidden_labels(new: Option<&Map>, old: Option<&Map>) -> Vec<String> {
    let get = |map: Option<&Map>, key: &str| map.and_then(|map| map.get(key)).and_then(Node::as_str).map(str::to_owned);
    let keys: BTreeSet<&str> = [new, old].into_iter().flatten().flat_map(Map::iter).map(|(key, _)| key).collect();
    let changed = keys.into_iter().filter(|key| get(new, key) != get(old, key));
    changed.filter(|key| !is_own_label(key)).map(str::to_owned).collect()
}

fn is_own_label(key: &str) -> bool {
    let within =
        |domain: &str, root: &str| domain.strip_suffix(root).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let Some((domain, _)) = key.split_once('/') else { return true };
    if !within(domain, "kubernetes.io") && !within(domain, "k8s.io") {
        return true;
    }
    OWN_LABELS.contains(&key) || OWN_DOMAINS.iter().any(|own| within(domain, own))
}

fn own_pod(change: &Change<'_>, object: Option<&Object>, node: &str) -> Result<()> {
    let pod = change.old.or(object);
    let bound = pod.map_or("", |pod| pod.str_at("spec.nodeName"));
    match (change.operation, change.subresource) {
        (Operation::Create, "") => mirror(change, object)?,
        (Operation::Update, "status") => {
            if let (Some(new), Some(old)) = (object, change.old)
                && new.labels() != old.labels()
            {
                return Err(refuse(change, &format!("node \"{node}\" cannot update labels through pod status")));
            }
        }
        (Operation::Delete, "" | "eviction") => {}
        _ => return Err(refuse(change, "can only change the status of pods, or delete them")),
    }
    if bound == node {
        return Ok(());
    }
    Err(refuse(change, &format!("node \"{node}\" can only change pods with spec.nodeName set to itself")))
}

/// A pod that an agent makes mirrors a file: it may not reach for what the API keeps.
fn mirror(change: &Change<'_>, pod: Option<&Object>) -> Result<()> {
    let Some(pod) = pod.filter(|pod| pod.annotation(MIRROR).is_some()) else {
        return Err(refuse(change, "can only create mirror pods"));
    };
    if !pod.str_at("spec.serviceAccountName").is_empty() {
        return Err(refuse(change, "can not create pods that reference a service account"));
    }
    for (field, what) in
        [("secret", "secrets"), ("configMap", "configmaps"), ("persistentVolumeClaim", "persistentvolumeclaims")]
    {
        let mentioned = pod.body.items_at("spec.volumes").iter().any(|volume| {
            volume.get(field).is_some()
                || volume.items_at("projected.sources").iter().any(|source| source.get(field).is_some())
        });
        if mentioned {
            return Err(refuse(change, &format!("can not create pods that reference {what}")));
        }
    }
    Ok(())
}

fn refuse(change: &Change<'_>, why: &str) -> Error {
    Status::forbidden(Grouped::new(change.kind.group, change.kind.plural), change.name, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_sets_its_own_labels_and_strangers_but_no_more() {
        for (key, own) in [
            ("plain", true),
            ("example.com/a", true),
            ("kubernetes.io/hostname", true),
            ("kubelet.kubernetes.io/a", true),
            ("sub.node.kubernetes.io/a", true),
            ("node-restriction.kubernetes.io/a", false),
            ("node-role.kubernetes.io/master", false),
            ("k8s.io/a", false),
            ("notkubernetes.io/a", true),
        ] {
            assert_eq!(is_own_label(key), own, "{key}");
        }
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (*key, Node::from(*value))).collect::<Map>();
        let (old, new) = (map(&[("k8s.io/a", "1"), ("k8s.io/b", "1")]), map(&[("k8s.io/a", "1"), ("k8s.io/c", "1")]));
        assert_eq!(forbidden_labels(Some(&new), Some(&old)), ["k8s.io/b", "k8s.io/c"]);
    }
}
