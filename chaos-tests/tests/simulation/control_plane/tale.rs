//! What became of every object: the store's history, read as objects.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio::time::Instant;

use crate::truth::Story;

/// Kinds whose objects are read; of others it is enough that they changed.
const READ: [&str; 8] = [
    "pods/",
    "apps/replicasets/",
    "apps/deployments/",
    "apps/statefulsets/",
    "configmaps/",
    "namespaces/",
    "nodes/",
    "services/",
];
pub(crate) const ROOT: &str = "/registry/";

/// An object as it was at a revision.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) revision: i64,
    pub(crate) json: Value,
}

impl Object {
    pub(crate) fn uid(&self) -> &str {
        self.json["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_deleting(&self) -> bool {
        !self.json["metadata"]["deletionTimestamp"].is_null()
    }

    /// The uid of its controller.
    pub(crate) fn controller(&self) -> Option<&str> {
        let owners = self.json["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.filter(|owner| owner["controller"] == true).find_map(|owner| owner["uid"].as_str())
    }

    /// How many pods it asks for.
    pub(crate) fn replicas(&self) -> i64 {
        self.json["spec"]["replicas"].as_i64().unwrap_or(1)
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) revision: i64,
    pub(crate) at: Instant,
    /// The key without the root: `pods/default/web`.
    pub(crate) key: String,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
}

/// All changes in their order.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    pub(crate) events: Vec<Event>,
}

/// A stored value as JSON; nothing where it is encrypted.
pub(crate) fn read(value: &[u8]) -> Value {
    value.get(1..).and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

impl Tale {
    pub(crate) fn of(story: &Story) -> Self {
        let mut now: BTreeMap<String, Arc<Object>> = BTreeMap::new();
        let mut events = Vec::new();
        for (revision, changes) in &story.revisions {
            for change in changes {
                let key = String::from_utf8_lossy(&change.kv.key);
                let Some(key) = key.strip_prefix(ROOT).map(str::to_owned) else { continue };
                let after = (!change.deleted).then(|| {
                    let is_read = READ.iter().any(|kind| key.starts_with(kind));
                    let json = if is_read { read(&change.kv.value) } else { Value::Null };
                    Arc::new(Object { revision: *revision, json })
                });
                let before = match &after {
                    Some(object) => now.insert(key.clone(), object.clone()),
                    None => now.remove(&key),
                };
                events.push(Event { revision: *revision, at: story.heard[revision], key, before, after });
            }
        }
        Self { events }
    }

    /// The changes of one kind, such as `pods/`.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.key.starts_with(kind))
    }
}
