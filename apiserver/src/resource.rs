//! A kind as this server serves it: where its objects lie, and what their headers hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use api::{
    kind::{KINDS, Kind},
    stored::Header,
};

use crate::watch::hub::Hub;

/// The root of all objects in the store.
pub(crate) const ROOT: &str = "/registry/";

/// A resource: a kind with what is worked out from it once.
pub(crate) struct Resource {
    /// The kind.
    pub kind: &'static Kind,
    /// The storage key's part before namespace and name, with a slash at its end.
    pub root: String,
    /// True when values are encrypted before they leave the server.
    pub encrypted: bool,
    /// The events of this resource, once somebody watches it.
    pub(crate) hub: OnceLock<Arc<Hub>>,
}

impl Resource {
    fn new(kind: &'static Kind) -> Self {
        let stored = kind.storage();
        let group = if stored.group.is_empty() { String::new() } else { format!("{}/", stored.group) };
        Self {
            kind,
            root: format!("{ROOT}{group}{}/", stored.plural),
            encrypted: (kind.group, kind.plural) == ("", "secrets"),
            hub: OnceLock::new(),
        }
    }

    /// The storage key of an object.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    /// What the storage keys of a namespace's objects begin with; of all objects when there is no namespace.
    pub(crate) fn prefix(&self, namespace: &str) -> String {
        if namespace.is_empty() { self.root.clone() } else { format!("{}{namespace}/", self.root) }
    }

    /// The value of a field that field selectors may name.
    pub(crate) fn field<'a>(&self, header: &'a Header, label: &str) -> Option<&'a str> {
        match label {
            "metadata.name" => return Some(&header.name),
            "metadata.namespace" => return Some(&header.namespace),
            _ => {}
        }
        let index = |label: &str| self.kind.selectable.iter().position(|field| field.label == label);
        let field = &self.kind.selectable[index(label)?];
        let value =
            |label: &str| header.fields.get(index(label)?).map(|value| &**value).filter(|text| !text.is_empty());
        Some(value(label).or_else(|| value(field.fallback)).unwrap_or(field.absent))
    }
}

/// All resources by group and plural name, each in its versions.
pub(crate) struct Resources(BTreeMap<&'static str, BTreeMap<&'static str, Vec<Arc<Resource>>>>);

impl Default for Resources {
    fn default() -> Self {
        let mut resources = Self(BTreeMap::new());
        for kind in KINDS {
            let group = resources.0.entry(kind.group).or_default();
            group.entry(kind.plural).or_default().push(Arc::new(Resource::new(kind)));
        }
        resources
    }
}

impl Resources {
    /// The resource of this group and plural name in the version in which it is stored.
    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.0.get(group)?.get(plural)?.iter().find(|resource| resource.kind.stored_as.is_none())
    }

    /// The resource that is served under this group, version and plural name.
    pub(crate) fn served(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.0.get(group)?.get(plural)?.iter().find(|resource| resource.kind.version == version)
    }

    /// Every resource.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.values().flat_map(BTreeMap::values).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_group_resource_namespace_and_object() {
        let resources = Resources::default();
        let key = |group, plural, namespace, name| resources.get(group, plural).unwrap().key(namespace, name);
        assert_eq!(key("", "pods", "a", "b"), "/registry/pods/a/b");
        assert_eq!(key("", "namespaces", "", "a"), "/registry/namespaces/a");
        assert_eq!(key("apps", "deployments", "a", "b"), "/registry/apps/deployments/a/b");
        assert_eq!(key("autoscaling", "horizontalpodautoscalers", "a", "b"), {
            "/registry/autoscaling/horizontalpodautoscalers/a/b"
        });
        for (group, version, plural) in [("apps", "v1beta1", "deployments"), ("extensions", "v1beta1", "deployments")] {
            assert_eq!(resources.served(group, version, plural).unwrap().root, "/registry/apps/deployments/");
        }
        assert!(resources.served("apps", "v2", "deployments").is_none());
    }
}
