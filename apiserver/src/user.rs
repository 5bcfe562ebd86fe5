//! Who makes a request, and what only a caller inside this process can say.

use std::{collections::BTreeMap, sync::Arc};

/// The group of callers that authorization never refuses.
pub const MASTERS: &str = "system:masters";
/// The group of every caller with a proven identity.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of agents.
pub const NODES: &str = "system:nodes";
/// What an agent's user name begins with.
pub const NODE_PREFIX: &str = "system:node:";
/// What a service account's user name begins with.
pub(crate) const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// An authenticated caller. As a request extension it can only come from inside this process or from the TLS layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name authorization and audit know the caller by.
    pub name: String,
    /// An identity that outlives a name's reuse, where there is one.
    pub uid: String,
    /// The groups the caller is in.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A caller with the given name and groups, and `system:authenticated`.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Arc<Self> {
        let mut user = Self { name: name.into(), ..Self::default() };
        user.groups = groups.into_iter().map(Into::into).collect();
        user.groups.push(AUTHENTICATED.to_owned());
        Arc::new(user)
    }

    /// The service account with this name.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// True when the caller is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node's name, when the caller is an agent.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix(NODE_PREFIX)?;
        self.in_group(NODES).then_some(name)
    }
}

/// Only an in-process caller can set this extension: a write that carries it takes effect only in this Raft term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The term in which the caller was told that this master leads.
    pub term: u64,
}
