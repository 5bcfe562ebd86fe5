//! What the server adds to objects on their way in, and what it refuses although it is valid.
//!
//! One file a plugin, under upstream's name; the order of [`mutate`] and [`validate`] is upstream's. Plugins look at
//! the local replica, and ask for a barrier only before they refuse.

use std::sync::Arc;

use api::{Object, kind::Kind};

use crate::{config::Config, error::Result, storage::Storage, user::UserInfo};

pub(crate) mod certificates;
pub(crate) mod default_toleration_seconds;
pub(crate) mod namespace_lifecycle;
pub(crate) mod node_restriction;
pub(crate) mod role_escalation;
pub(crate) mod service_account;
pub(crate) mod service_address;

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
}

impl Change<'_> {
    /// True when the whole object of this resource is created, changed or deleted.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.kind.group == group && self.kind.plural == plural
    }
}

/// Plugins that may change the object.
pub(crate) async fn mutate(change: &Change<'_>, object: &mut Object) -> Result<()> {
    namespace_lifecycle::admit(change).await?;
    service_account::admit(change, object).await?;
    node_restriction::admit(change, Some(object))?;
    default_toleration_seconds::admit(change, object);
    certificates::mutate(change, object);
    service_address::admit(change, object)
}

/// Plugins that look at the object as it is about to be stored.
pub(crate) async fn validate(change: &Change<'_>, object: &Object) -> Result<()> {
    certificates::validate(change, object)?;
    role_escalation::admit(change, object).await
}

/// Plugins that look at a deletion.
pub(crate) async fn delete(change: &Change<'_>) -> Result<()> {
    namespace_lifecycle::admit(change).await?;
    node_restriction::admit(change, None)
}
