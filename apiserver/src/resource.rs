//! A kind as this server serves it: where its objects lie, and what their headers hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use api::{
    kind::{KINDS, Kind},
    stored::Header,
};
use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{runtime_config::RuntimeConfig, watch::hub::Hub};

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
    /// False for what is switched off: no client reaches it, while the control plane itself goes on with it.
    pub(crate) served: bool,
    /// The events of this resource, once somebody watches it.
    pub(crate) hub: OnceLock<Arc<Hub>>,
    /// Cancelled when the resource is served no longer, or as another kind: what watches it has to begin anew.
    pub(crate) gone: CancellationToken,
}

impl Resource {
    fn new(kind: &'static Kind, served: bool) -> Self {
        let stored = kind.storage();
        let group = if stored.group.is_empty() { String::new() } else { format!("{}/", stored.group) };
        Self {
            kind,
            root: format!("{ROOT}{group}{}/", stored.plural),
            encrypted: (kind.group, kind.plural) == ("", "secrets"),
            served,
            hub: OnceLock::new(),
            gone: CancellationToken::new(),
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

type ByName<T> = BTreeMap<&'static str, BTreeMap<&'static str, T>>;

/// All resources by group and plural name, each in its versions: those that are built in, and those that users defined.
pub(crate) struct Resources {
    built_in: ByName<Vec<Arc<Resource>>>,
    custom: ArcSwap<ByName<Vec<Arc<Resource>>>>,
    changes: watch::Sender<u64>,
}

impl Resources {
    /// All that is built in, of which clients reach what is served.
    pub(crate) fn new(config: &RuntimeConfig) -> Self {
        let mut built_in: ByName<Vec<Arc<Resource>>> = BTreeMap::new();
        for kind in KINDS {
            let served = config.kinds().iter().any(|served| std::ptr::eq(*served, *kind));
            let group = built_in.entry(kind.group).or_default();
            group.entry(kind.plural).or_default().push(Arc::new(Resource::new(kind, served)));
        }
        Self { built_in, custom: ArcSwap::default(), changes: watch::Sender::new(0) }
    }

    fn find(&self, group: &str, plural: &str, wanted: impl Fn(&Resource) -> bool) -> Option<Arc<Resource>> {
        let find = |resources: &ByName<Vec<Arc<Resource>>>| {
            let versions = resources.get(group)?.get(plural)?;
            versions.iter().find(|resource| wanted(resource)).cloned()
        };
        find(&self.built_in).or_else(|| find(&self.custom.load()))
    }

    /// The resource of this group and plural name in the version in which it is stored, or another if that is not
    /// served.
    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        let stored = self.find(group, plural, |resource| resource.kind.stored_as.is_none());
        stored.or_else(|| self.find(group, plural, |_| true))
    }

    /// The resource that is served under this group, version and plural name.
    pub(crate) fn served(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.find(group, plural, |resource| resource.served && resource.kind.version == version)
    }

    /// The same, though it may be switched off.
    pub(crate) fn known(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.find(group, plural, |resource| resource.kind.version == version)
    }

    /// Every resource.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<Resource>> + use<> {
        let custom = self.custom.load();
        let all = self.built_in.values().chain(custom.values()).flat_map(BTreeMap::values).flatten();
        all.cloned().collect::<Vec<_>>().into_iter()
    }

    /// Whether anything is served in a version of a group.
    pub(crate) fn has_version(&self, group: &str, version: &str) -> bool {
        let has = |resources: &ByName<Vec<Arc<Resource>>>| {
            let all = resources.get(group).into_iter().flat_map(BTreeMap::values).flatten();
            all.into_iter().any(|resource| resource.served && resource.kind.version == version)
        };
        has(&self.built_in) || has(&self.custom.load())
    }

    /// Whether resources of this group may come and go.
    pub(crate) fn may_be_custom(&self, group: &str) -> bool {
        !self.built_in.contains_key(group) || self.custom.load().contains_key(group)
    }

    /// Serves these kinds that users defined, and no others. What is served as before goes on as it is.
    pub(crate) fn set_custom(&self, kinds: impl IntoIterator<Item = &'static Kind>) {
        let before = self.custom.load_full();
        let mut custom: ByName<Vec<Arc<Resource>>> = BTreeMap::new();
        let is_built_in = |kind: &&'static Kind| {
            self.built_in.get(kind.group).is_some_and(|resources| resources.contains_key(kind.plural))
        };
        for kind in kinds.into_iter().filter(|kind| !is_built_in(kind)) {
            let known = before.get(kind.group).and_then(|resources| resources.get(kind.plural)).into_iter().flatten();
            let same = known.into_iter().find(|resource| std::ptr::eq(resource.kind, kind)).cloned();
            let resource = same.unwrap_or_else(|| Arc::new(Resource::new(kind, true)));
            custom.entry(kind.group).or_default().entry(kind.plural).or_default().push(resource);
        }
        let still = |resource: &Arc<Resource>| {
            let versions = custom.get(resource.kind.group).and_then(|resources| resources.get(resource.kind.plural));
            versions.into_iter().flatten().any(|other| Arc::ptr_eq(other, resource))
        };
        let gone: Vec<Arc<Resource>> =
            before.values().flat_map(BTreeMap::values).flatten().filter(|resource| !still(resource)).cloned().collect();
        self.custom.store(Arc::new(custom));
        gone.iter().for_each(|resource| resource.gone.cancel());
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes when other kinds are served.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_group_resource_namespace_and_object() {
        let resources = Resources::new(&RuntimeConfig::default());
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
        let beta = ("storage.k8s.io", "v1beta1", "volumeattributesclasses");
        assert!(resources.served(beta.0, beta.1, beta.2).is_none() && !resources.has_version(beta.0, beta.1));
        assert_eq!(
            resources.known(beta.0, beta.1, beta.2).unwrap().root,
            "/registry/storage.k8s.io/volumeattributesclasses/"
        );
    }
}
