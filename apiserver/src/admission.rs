//! What the server adds to objects on their way in, and what it refuses although it is valid.
//!
//! One file a plugin, under upstream's name; the order of [`mutate`] and [`validate`] is upstream's. Plugins look at
//! the local replica, and ask for a barrier only before they refuse.

use std::sync::Arc;

use api::{Object, kind::Kind};

use crate::{config::Config, error::Result, storage::Storage, user::UserInfo, warnings::Warnings};

pub(crate) mod certificates;
mod default_class;
pub(crate) mod default_ingress_class;
pub(crate) mod default_storage_class;
pub(crate) mod default_toleration_seconds;
pub(crate) mod device_taint;
pub(crate) mod limit_ranger;
pub(crate) mod namespace_lifecycle;
pub(crate) mod node_restriction;
pub(crate) mod persistent_volume_claim_resize;
pub(crate) mod pod_security;
pub(crate) mod priority;
pub(crate) mod resource_quota;
pub(crate) mod role_escalation;
pub(crate) mod runtime_class;
pub(crate) mod service_account;
pub(crate) mod service_address;
mod storage_object_in_use;

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
}

/// The circumstances of a change.
pub(crate) struct Change<'a> {
    /// Where objects are.
    pub storage: &'a Storage,
    /// How the server is set up.
    pub config: &'a Config,
    /// Who may do what.
    pub authorizer: &'a crate::authorization::Authorizer,
    /// Who asks.
    pub user: &'a Arc<UserInfo>,
    /// The resource.
    pub kind: &'static Kind,
    /// The part of the object that is written, empty for all of it.
    pub subresource: &'a str,
    /// The object's namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The object's name; empty when it is still to be generated.
    pub name: &'a str,
    /// What is done.
    pub operation: Operation,
    /// The object as it was.
    pub old: Option<&'a Object>,
    /// What the client is told beside the answer.
    pub warnings: &'a Warnings,
}

impl Change<'_> {
    /// True when the whole object of this resource is created, changed or deleted.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.kind.group == group && self.kind.plural == plural
    }

    /// True when a part of an object of the core group is written.
    pub(crate) fn is_part(&self, plural: &str, subresource: &str) -> bool {
        self.subresource == subresource && self.kind.group.is_empty() && self.kind.plural == plural
    }

    /// An object, as JSON; absence is believed only after a barrier.
    pub(crate) async fn find(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<serde_json::Value>> {
        let read = || self.storage.local_json(group, plural, namespace, name);
        if let Some(found) = read() {
            return Ok(Some(found));
        }
        self.storage.barrier().await?;
        Ok(read())
    }
}

/// Plugins that may change the object.
pub(crate) async fn mutate(change: &Change<'_>, object: &mut Object) -> Result<()> {
    namespace_lifecycle::admit(change).await?;
    limit_ranger::mutate(change, object);
    service_account::admit(change, object).await?;
    node_restriction::admit(change, Some(object))?;
    priority::admit(change, object).await?;
    default_toleration_seconds::admit(change, object);
    default_storage_class::admit(change, object);
    storage_object_in_use::admit(change, object);
    runtime_class::admit(change, object).await?;
    certificates::mutate(change, object);
    default_ingress_class::admit(change, object);
    device_taint::admit(change, object);
    service_address::admit(change, object)
}

/// Plugins that look at the object as it is about to be stored.
pub(crate) async fn validate(change: &Change<'_>, object: &Object) -> Result<()> {
    limit_ranger::validate(change, object)?;
    pod_security::admit(change, object)?;
    priority::validate(change, object)?;
    persistent_volume_claim_resize::admit(change, object).await?;
    certificates::validate(change, object)?;
    role_escalation::admit(change, object).await?;
    // Comes last, for it books what is written.
    resource_quota::constraints(change, object)
}

/// Plugins that look at a deletion.
pub(crate) async fn delete(change: &Change<'_>) -> Result<()> {
    namespace_lifecycle::admit(change).await?;
    node_restriction::admit(change, None)
}
