//! May this caller do this? The first authorizer that says yes decides; nobody says no for the others.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    request_info::RequestInfo,
    user::{MASTERS, UserInfo},
};

pub(crate) mod node;
pub(crate) mod rbac;

use rbac::RoleIndex;

/// What is asked of an authorizer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attributes<'a> {
    /// The Kubernetes verb, or the lower-case HTTP method.
    pub verb: &'a str,
    /// True when a resource is asked for, false when a path is.
    pub is_resource: bool,
    /// The group, empty for the core one.
    pub group: &'a str,
    /// The namespace; empty means all of them, or a resource that has none.
    pub namespace: &'a str,
    /// The plural name.
    pub resource: &'a str,
    /// The part of the object, if only a part is meant.
    pub subresource: &'a str,
    /// The object's name, if one is meant.
    pub name: &'a str,
    /// The path, when no resource is asked for.
    pub path: &'a str,
    /// The one node whose pods the field selector admits.
    pub selected_node: Option<&'a str>,
}

impl<'a> From<&'a RequestInfo> for Attributes<'a> {
    fn from(info: &'a RequestInfo) -> Self {
        Self {
            verb: info.verb,
            is_resource: info.is_resource,
            group: &info.group,
            namespace: &info.namespace,
            resource: &info.resource,
            subresource: &info.subresource,
            name: &info.name,
            path: &info.path,
            selected_node: info.selected("spec.nodeName"),
        }
    }
}

impl Attributes<'_> {
    /// The sentence a refused caller reads, without the object's name in front.
    pub(crate) fn refusal(&self, user: &UserInfo) -> String {
        if !self.is_resource {
            return format!("User \"{}\" cannot {} path \"{}\"", user.name, self.verb, self.path);
        }
        let part = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        format!(
            "User \"{}\" cannot {} resource \"{}{part}\" in API group \"{}\" {place}",
            user.name, self.verb, self.resource, self.group
        )
    }
}

/// Every authorizer of this server.
#[derive(Clone)]
pub(crate) struct Authorizer {
    /// Roles and bindings as the local replica has them.
    pub roles: Arc<RwLock<RoleIndex>>,
    /// What agents may do with the objects that concern them.
    pub node: node::NodeAuthorizer,
}

impl Authorizer {
    /// True when the caller may.
    pub(crate) fn allows(&self, user: &UserInfo, request: &Attributes<'_>) -> bool {
        user.in_group(MASTERS) || self.node.allows(user, request) || self.roles.read().allows(user, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstream_writes_them() {
        let user = UserInfo { name: "x".into(), ..UserInfo::default() };
        let mut request = Attributes { verb: "list", is_resource: true, resource: "pods", ..Attributes::default() };
        assert_eq!(
            request.refusal(&user),
            r#"User "x" cannot list resource "pods" in API group "" at the cluster scope"#
        );
        (request.namespace, request.subresource) = ("y", "log");
        assert_eq!(
            request.refusal(&user),
            r#"User "x" cannot list resource "pods/log" in API group "" in the namespace "y""#
        );
        let path = Attributes { verb: "get", path: "/metrics", ..Attributes::default() };
        assert_eq!(path.refusal(&user), r#"User "x" cannot get path "/metrics""#);
    }
}
