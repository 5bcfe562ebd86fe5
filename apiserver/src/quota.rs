//! ResourceQuota: what a namespace uses of what it may use.
//!
//! The books are kept in the quotas' own status, and in the very transaction that writes an object which uses more: the
//! new sums go along with the object, on the condition that the quotas are what they were. So a quota is never exceeded,
//! however many masters write at once. What frees something is booked a moment later by [`keeper`], which counts anew in
//! a snapshot of the store and writes on the same condition.

use std::{collections::HashMap, sync::Arc};

use api::{Object, kind::Kind, managed_fields};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use store::View;
use tokio::sync::OwnedMutexGuard;

use crate::{
    amounts::{self, Amounts},
    encode,
    error::Result,
    resource::Resource,
    storage::Storage,
};

pub(crate) mod keeper;
pub(crate) mod scope;
pub(crate) mod usage;

/// Who keeps the books, among the managers of fields.
const MANAGER: &str = "kube-apiserver";

/// A quota as it is in the store.
pub(crate) struct Quota {
    pub(crate) key: String,
    pub(crate) revision: i64,
    pub(crate) name: String,
    pub(crate) object: Object,
    pub(crate) spec: Value,
}

impl Quota {
    /// What may be used of what.
    pub(crate) fn hard(&self) -> Amounts {
        amounts::from_json(&self.spec["hard"])
    }

    /// What the books say is used of what is limited; `None` where they do not say.
    pub(crate) fn booked(&self) -> Option<Amounts> {
        let used = amounts::amounts(self.object.at("status.used"));
        self.hard().into_keys().map(|name| used.get(&name).map(|amount| (name, *amount))).collect()
    }

    /// The value to store once this much is used now; `None` when the books say so already.
    pub(crate) fn with(&self, used: &Amounts, now: Timestamp) -> Option<Bytes> {
        let hard = self.hard();
        let same = amounts::amounts(self.object.at("status.used")) == *used
            && amounts::amounts(self.object.at("status.hard")) == hard;
        if same {
            return None;
        }
        let mut object = self.object.clone();
        object.set("status.hard", amounts::node(&hard));
        object.set("status.used", amounts::node(used));
        let now = api::time::format(now);
        let writer = managed_fields::Writer {
            manager: MANAGER,
            api_version: "v1",
            subresource: "status",
            now: &now,
            ignored: &["spec"],
        };
        managed_fields::update(&writer, Some(&self.object), &mut object);
        Some(api::stored::value(&mut object))
    }
}

/// The quotas of a namespace, as a view has them.
pub(crate) fn all(storage: &Storage, view: &View, namespace: &str) -> Result<Vec<Quota>> {
    let Some(resource) = storage.resources().get("", "resourcequotas") else { return Ok(Vec::new()) };
    let rows = view.prefix(resource.prefix(namespace).as_bytes(), b"", usize::MAX, 0)?;
    let read = |row: &store::mvccpb::KeyValue| {
        let stored = storage.decode(&resource, row)?;
        let json: Value = serde_json::from_slice(stored.json()).unwrap_or_default();
        let name = stored.header().name.to_string();
        Ok(Quota {
            key: resource.key(namespace, &name),
            revision: stored.revision(),
            name,
            object: encode::decode(&resource, &stored)?,
            spec: json["spec"].clone(),
        })
    };
    rows.kvs.iter().map(read).collect()
}

/// Counts anew what is used of what a quota limits, in a view.
pub(crate) fn count(storage: &Storage, view: &View, namespace: &str, quota: &Quota) -> Result<Amounts> {
    let mut used: Amounts = quota.hard().into_keys().map(|name| (name, amounts::nothing())).collect();
    for resource in storage.resources().iter() {
        if counts(resource.kind) && used.keys().any(|name| usage::concerns(resource.kind, name)) {
            count_one(storage, view, namespace, &resource, quota, &mut used)?;
        }
    }
    Ok(used)
}

/// True when objects of a kind are counted: those that live in namespaces and are not seen under another name as well.
pub(crate) fn counts(kind: &Kind) -> bool {
    kind.stored && kind.is_namespaced() && kind.stored_as.is_none()
}

fn count_one(
    storage: &Storage,
    view: &View,
    namespace: &str,
    resource: &Resource,
    quota: &Quota,
    used: &mut Amounts,
) -> Result<()> {
    let prefix = resource.prefix(namespace);
    let counted = format!("count/{}", api::status::Grouped::new(resource.kind.group, resource.kind.plural));
    let by_number = used.keys().all(|name| !usage::concerns(resource.kind, name) || *name == counted);
    let unscoped = quota.spec["scopes"].is_null() && quota.spec["scopeSelector"].is_null();
    if by_number && unscoped {
        used.insert(counted, amounts::count(view.count(prefix.as_bytes())));
        return Ok(());
    }
    let is_pod = resource.kind.group.is_empty() && resource.kind.plural == "pods";
    for row in view.prefix(prefix.as_bytes(), b"", usize::MAX, 0)?.kvs {
        let object = encode::decode(resource, &storage.decode(resource, &row)?)?;
        if scope::matches(&quota.spec, &object, is_pod) {
            let own = usage::of(resource.kind, &object).into_iter().filter(|(name, _)| used.contains_key(name));
            amounts::add(used, &own.collect());
        }
    }
    Ok(())
}

/// What of `more` stands in `limited`.
pub(crate) fn only(more: &Amounts, limited: &Amounts) -> Amounts {
    more.iter().filter(|(name, _)| limited.contains_key(*name)).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// Writers of one master take turns in a namespace that has quotas, so that they do not overtake each other all the time.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// A writer's turn, until dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for a turn in a namespace.
    pub(crate) async fn take(&self, namespace: &str) -> Turn {
        let queue = {
            let mut queues = self.0.lock();
            // Queues nobody stands in are forgotten.
            queues.retain(|own, queue| own == namespace || Arc::strong_count(queue) > 1);
            queues.entry(namespace.to_owned()).or_default().clone()
        };
        queue.lock_owned().await
    }
}
