//! What this node knows of its pods, for those who only look: the kubelet API and the node's own status.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use parking_lot::RwLock;

/// All pods of this node, by uid. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodTable {
    entries: Arc<RwLock<BTreeMap<String, Entry>>>,
}

/// A pod and the newest status of it, which the API may not have yet.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pod: Arc<Pod>,
    pub(crate) status: Arc<PodStatus>,
}

impl Entry {
    /// The status of one container.
    pub(crate) fn container(&self, name: &str) -> Option<&ContainerStatus> {
        super::runs::reported(&self.status, name)
    }
}

impl PodTable {
    pub(crate) fn set(&self, pod: Arc<Pod>, status: PodStatus) {
        let entry = Entry { status: Arc::new(status), pod };
        self.entries.write().insert(super::uid(&entry.pod).to_owned(), entry);
    }

    pub(crate) fn remove(&self, uid: &str) {
        self.entries.write().remove(uid);
    }

    pub(crate) fn by_name(&self, namespace: &str, name: &str) -> Option<Entry> {
        let entries = self.entries.read();
        let is_it = |entry: &&Entry| super::name(&entry.pod) == name && super::namespace(&entry.pod) == namespace;
        // During a quick replacement two pods may share the name: the younger one is meant.
        entries.values().filter(is_it).max_by_key(|entry| entry.pod.metadata.creation_timestamp.clone()).cloned()
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<Entry> {
        self.entries.read().get(uid).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.entries.read().values().cloned().collect()
    }
}
