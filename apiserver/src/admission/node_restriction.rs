//! NodeRestriction: an agent changes its own node, its own lease and the pods bound to it, and nothing of others.

use api::{
    Object,
    status::{Grouped, Status},
};

use super::{Change, Operation};
use crate::error::{Error, Result};

/// The mark of a pod that an agent runs from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

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
    let taints = |object: &Object| object.body.items_at("spec.taints").to_vec();
    if let (Operation::Update, Some(new), Some(old)) = (change.operation, object, change.old)
        && taints(new) != taints(old)
    {
        return Err(refuse(change, &format!("node \"{node}\" is not allowed to modify taints")));
    }
    Ok(())
}

fn own_pod(change: &Change<'_>, object: Option<&Object>, node: &str) -> Result<()> {
    let pod = change.old.or(object);
    let bound = pod.map_or("", |pod| pod.str_at("spec.nodeName"));
    match (change.operation, change.subresource) {
        (Operation::Create, "") => {
            let mirror = object.is_some_and(|pod| pod.annotation(MIRROR).is_some());
            if !mirror {
                return Err(refuse(change, "can only create mirror pods"));
            }
        }
        (Operation::Update, "status" | "eviction") | (Operation::Delete, "") | (Operation::Create, "eviction") => {}
        _ => return Err(refuse(change, "can only change the status of pods, or delete them")),
    }
    if bound == node {
        return Ok(());
    }
    Err(refuse(change, &format!("node \"{node}\" can only change pods with spec.nodeName set to itself")))
}

fn refuse(change: &Change<'_>, why: &str) -> Error {
    Status::forbidden(Grouped::new(change.kind.group, change.kind.plural), change.name, why).into()
}
