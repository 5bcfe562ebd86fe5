//! NamespaceLifecycle: nothing is made in a namespace that is not there or is going; the system's namespaces stay.

use api::status::{Grouped, Status};

use super::{Change, Operation};
use crate::error::Result;

/// Namespaces nobody may delete.
pub(crate) const IMMORTAL: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub(super) async fn admit(change: &Change<'_>) -> Result<()> {
    let resource = Grouped::new(change.kind.group, change.kind.plural);
    if change.is("", "namespaces") && change.operation == Operation::Delete && IMMORTAL.contains(&change.name) {
        return Err(Status::forbidden(resource, change.name, "this namespace may not be deleted").into());
    }
    if change.operation != Operation::Create || change.namespace.is_empty() || change.kind.plural == "namespaces" {
        return Ok(());
    }
    // What tells callers about access to a namespace has to work in any of them.
    if change.kind.plural == "localsubjectaccessreviews" {
        return Ok(());
    }
    let phase = |()| change.storage.local_field("", "namespaces", "", change.namespace, "status.phase");
    let mut found = phase(());
    if found.is_none() {
        change.storage.barrier().await?;
        found = phase(());
    }
    match found.as_deref() {
        None => Err(Status::not_found(Grouped::new("", "namespaces"), change.namespace).into()),
        Some("Terminating") => Err(Status::namespace_terminating(resource, change.name, change.namespace).into()),
        Some(_) => Ok(()),
    }
}
