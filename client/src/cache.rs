//! A mirror of one resource: key -> object and a small projection.
//!
//! The object is the very `Arc` of the source (on a master: of the API server), so a cache costs a map entry and the
//! projection `P`. Changes are announced to listeners after they are visible; a listener only marks keys dirty. Reading
//! is level-triggered: whoever wakes reads what is there now.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};

use api::stored::{Header, StoredObject};
use futures_util::StreamExt;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::source::{Selection, Source, SourceEvent};

/// Namespace and name; the namespace is empty for cluster-scoped objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Empty when the resource has no namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of(object: &StoredObject) -> Self {
        Self::new(&*object.header().namespace, &*object.header().name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            formatter.write_str(&self.name)
        } else {
            write!(formatter, "{}/{}", self.namespace, self.name)
        }
    }
}

/// An object of a cache.
pub struct Entry<P> {
    /// Header and bytes.
    pub object: Arc<StoredObject>,
    /// What the owner of the cache wants at hand.
    pub projection: P,
    /// When this revision arrived here, by the local monotonic clock.
    pub received: Instant,
}

impl<P> Entry<P> {
    /// The typed form, for one reconcile.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        decode(&self.object)
    }
}

/// The typed form of an object, `metadata.resourceVersion` included.
pub fn decode<T: DeserializeOwned>(object: &StoredObject) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&object.json_with_revision())
}

/// What happened to a key.
pub struct Change<P> {
    /// Which object.
    pub key: Key,
    /// What was there.
    pub before: Option<Arc<Entry<P>>>,
    /// What is there now.
    pub after: Option<Arc<Entry<P>>>,
}

type Listener<P> = dyn Fn(&Change<P>) + Send + Sync;

/// The mirror. Cheap to clone; clones share everything.
pub struct Cache<P> {
    inner: Arc<Inner<P>>,
}

impl<P> Clone for Cache<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<P> {
    selection: Selection,
    project: Box<dyn Fn(&StoredObject) -> P + Send + Sync>,
    state: RwLock<State<P>>,
    /// `None` until the first list.
    revision: watch::Sender<Option<i64>>,
    /// How many lists were asked for, and up to which of these requests one came.
    relists: watch::Sender<(u64, u64)>,
    listeners: Mutex<BTreeMap<u64, Arc<Listener<P>>>>,
}

/// The objects of one namespace by name.
type Names<P> = BTreeMap<Arc<str>, Arc<Entry<P>>>;

struct State<P> {
    /// The names of one namespace are compared without it, and share one copy of it.
    namespaces: BTreeMap<Arc<str>, Names<P>>,
    by_owner: HashMap<Box<str>, BTreeSet<Key>>,
}

/// Listens as long as it lives.
#[must_use]
pub struct Subscription {
    remove: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(remove) = self.remove.take() {
            remove();
        }
    }
}

impl<P: Send + Sync + 'static> Cache<P> {
    /// An empty cache; [`Cache::run`] fills it.
    pub fn new(selection: Selection, project: impl Fn(&StoredObject) -> P + Send + Sync + 'static) -> Self {
        let state = State { namespaces: BTreeMap::new(), by_owner: HashMap::new() };
        let inner = Inner {
            selection,
            project: Box::new(project),
            state: RwLock::new(state),
            revision: watch::channel(None).0,
            relists: watch::channel((0, 0)).0,
            listeners: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Mirrors `source` until `shutdown`.
    pub async fn run(self, source: Arc<dyn Source>, shutdown: CancellationToken) {
        let mut relists = self.inner.relists.subscribe();
        loop {
            let (asked, _) = *relists.borrow_and_update();
            let mut events = source.list_and_watch(self.inner.selection.clone());
            loop {
                let event = tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = events.next() => event,
                    _ = relists.wait_for(|(now, _)| *now != asked) => break,
                };
                // A source ends only with the component that feeds it.
                let Some(event) = event else { return };
                let listed = matches!(event, SourceEvent::Reset(..));
                self.apply(event);
                if listed {
                    self.inner.relists.send_modify(|(_, done)| *done = asked);
                }
            }
        }
    }

    /// Lists anew and waits for it. Afterwards everything is visible that was in the source before the call: a new
    /// leader must not decide by what it had heard of so far. Objects that did not change are not announced.
    pub async fn relist(&self) {
        let mut relists = self.inner.relists.subscribe();
        let mut wanted = 0;
        self.inner.relists.send_modify(|(asked, _)| {
            *asked += 1;
            wanted = *asked;
        });
        // The sender lives in `self`: waiting cannot fail.
        relists.wait_for(|(_, done)| *done >= wanted).await.ok();
    }

    /// Takes one event: what [`Cache::run`] does, and what tests do by hand.
    pub fn apply(&self, event: SourceEvent) {
        let revision = match event {
            SourceEvent::Reset(objects, revision) => {
                self.reset(objects);
                revision
            }
            SourceEvent::Applied(object) => {
                let revision = object.revision();
                self.put(object);
                revision
            }
            SourceEvent::Deleted(object, revision) => {
                self.remove(&Key::of(&object));
                revision
            }
            SourceEvent::Bookmark(revision) => revision,
        };
        self.inner.revision.send_replace(Some(revision));
    }

    fn reset(&self, objects: Vec<Arc<StoredObject>>) {
        let mut absent: BTreeSet<Key> = self.inner.state.read().keys().collect();
        for object in objects {
            absent.remove(&Key::of(&object));
            self.put(object);
        }
        for key in absent {
            self.remove(&key);
        }
    }

    fn put(&self, object: Arc<StoredObject>) {
        let (received, projection) = (Instant::now(), (self.inner.project)(&object));
        let after = Arc::new(Entry { object, projection, received });
        let mut state = self.inner.state.write();
        let Some((key, before)) = state.put(&after) else { return };
        state.index(&key, before.as_deref(), Some(&after));
        drop(state);
        self.announce(Change { key, before, after: Some(after) });
    }

    fn remove(&self, key: &Key) {
        let mut state = self.inner.state.write();
        let Some((key, before)) = state.remove(key) else { return };
        state.index(&key, Some(&before), None);
        drop(state);
        self.announce(Change { key, before: Some(before), after: None });
    }

    fn announce(&self, change: Change<P>) {
        let listeners: Vec<_> = self.inner.listeners.lock().values().cloned().collect();
        for listener in listeners {
            listener(&change);
        }
    }

    /// Calls `listener` for every change from now on. It runs in the feed: it may only mark things.
    pub fn subscribe(&self, listener: impl Fn(&Change<P>) + Send + Sync + 'static) -> Subscription {
        let mut listeners = self.inner.listeners.lock();
        let id = listeners.last_key_value().map_or(0, |(id, _)| id + 1);
        listeners.insert(id, Arc::new(listener));
        drop(listeners);
        let inner: Weak<Inner<P>> = Arc::downgrade(&self.inner);
        let remove = move || {
            if let Some(inner) = inner.upgrade() {
                inner.listeners.lock().remove(&id);
            }
        };
        Subscription { remove: Some(Box::new(remove)) }
    }

    /// What it mirrors.
    pub fn selection(&self) -> &Selection {
        &self.inner.selection
    }

    /// True once the first list is in.
    pub fn has_synced(&self) -> bool {
        self.inner.revision.borrow().is_some()
    }

    /// Waits for the first list.
    pub async fn synced(&self) {
        let mut revision = self.inner.revision.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        revision.wait_for(Option::is_some).await.ok();
    }

    /// The last revision seen; 0 before the first list.
    pub fn revision(&self) -> i64 {
        self.inner.revision.borrow().unwrap_or_default()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry<P>>> {
        self.inner.state.read().get(key).cloned()
    }

    /// All objects in the order of their keys.
    pub fn list(&self) -> Vec<Arc<Entry<P>>> {
        self.inner.state.read().namespaces.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// All objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Entry<P>>> {
        let state = self.inner.state.read();
        state.namespaces.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// All objects with an owner reference to `uid`.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Entry<P>>> {
        let state = self.inner.state.read();
        let keys = state.by_owner.get(uid).into_iter().flatten();
        keys.filter_map(|key| state.get(key).cloned()).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner.state.read().namespaces.values().map(BTreeMap::len).sum()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<P> State<P> {
    fn keys(&self) -> impl Iterator<Item = Key> {
        let all = self.namespaces.iter();
        all.flat_map(|(namespace, names)| names.keys().map(|name| Key::new(namespace.clone(), name.clone())))
    }

    fn get(&self, key: &Key) -> Option<&Arc<Entry<P>>> {
        self.namespaces.get(&key.namespace)?.get(&key.name)
    }

    /// The key as it stands in the map and what stood there; `None` when that is of the same revision.
    fn put(&mut self, entry: &Arc<Entry<P>>) -> Option<(Key, Option<Arc<Entry<P>>>)> {
        let Header { namespace, name, .. } = entry.object.header();
        let known = self.namespaces.get_key_value(&**namespace).map(|(known, _)| known.clone());
        let namespace = known.unwrap_or_else(|| Arc::from(&**namespace));
        match self.namespaces.entry(namespace.clone()).or_default().entry(Arc::from(&**name)) {
            MapEntry::Occupied(there) if there.get().object.revision() == entry.object.revision() => None,
            MapEntry::Occupied(mut there) => {
                let key = Key { namespace, name: there.key().clone() };
                Some((key, Some(there.insert(entry.clone()))))
            }
            MapEntry::Vacant(free) => {
                let key = Key { namespace, name: free.key().clone() };
                free.insert(entry.clone());
                Some((key, None))
            }
        }
    }

    fn remove(&mut self, key: &Key) -> Option<(Key, Arc<Entry<P>>)> {
        let names = self.namespaces.get_mut(&key.namespace)?;
        let (name, entry) = names.remove_entry(&key.name)?;
        if names.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        Some((Key { namespace: key.namespace.clone(), name }, entry))
    }

    fn index(&mut self, key: &Key, before: Option<&Entry<P>>, after: Option<&Entry<P>>) {
        for owner in before.iter().flat_map(|entry| entry.object.header().owner_references.iter()) {
            if let Some(keys) = self.by_owner.get_mut(&*owner.uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_owner.remove(&*owner.uid);
                }
            }
        }
        for owner in after.iter().flat_map(|entry| entry.object.header().owner_references.iter()) {
            self.by_owner.entry(Box::from(&*owner.uid)).or_default().insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::source::Resource;
    use crate::source::wire::stored_object;

    fn object(namespace: &str, name: &str, revision: i64, owner: Option<&str>) -> Arc<StoredObject> {
        let owners: Vec<_> = owner
            .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid}))
            .into_iter()
            .collect();
        let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
            "resourceVersion": revision.to_string(), "ownerReferences": owners,
        }});
        Arc::new(stored_object(&value.to_string()).unwrap())
    }

    fn names(entries: &[Arc<Entry<()>>]) -> Vec<&str> {
        entries.iter().map(|entry| &*entry.object.header().name).collect()
    }

    /// Every list finds what is in the map at that moment; no changes are told.
    struct Lists(Arc<Mutex<Vec<Arc<StoredObject>>>>);

    impl Source for Lists {
        fn list_and_watch(&self, _selection: Selection) -> futures_util::stream::BoxStream<'static, SourceEvent> {
            let now = SourceEvent::Reset(self.0.lock().clone(), 1);
            futures_util::stream::iter([now]).chain(futures_util::stream::pending()).boxed()
        }
    }

    #[tokio::test]
    async fn after_a_relist_everything_is_visible() {
        let objects = Arc::new(Mutex::new(vec![object("a", "x", 1, None)]));
        let cache = Cache::new(Selection::all(Resource::new("", "v1", "pods")), |_| ());
        let shutdown = CancellationToken::new();
        let feed = tokio::spawn(cache.clone().run(Arc::new(Lists(objects.clone())), shutdown.clone()));
        cache.relist().await;
        assert_eq!(names(&cache.list()), ["x"]);
        objects.lock().push(object("a", "y", 2, None));
        cache.relist().await;
        assert_eq!(names(&cache.list()), ["x", "y"]);
        shutdown.cancel();
        feed.await.unwrap();
    }

    #[test]
    fn indices_follow_changes_and_a_reset_keeps_what_did_not_change() {
        let cache = Cache::new(Selection::all(Resource::new("", "v1", "pods")), |_| ());
        let changes = Arc::new(AtomicUsize::new(0));
        let counter = changes.clone();
        let subscription = cache.subscribe(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert!(!cache.has_synced());
        cache.apply(SourceEvent::Reset(vec![object("a", "x", 1, Some("o")), object("b", "y", 2, Some("o"))], 5));
        assert!(cache.has_synced());
        assert_eq!(names(&cache.owned_by("o")), ["x", "y"]);
        assert_eq!(names(&cache.in_namespace("a")), ["x"]);
        cache.apply(SourceEvent::Applied(object("a", "x", 6, None)));
        assert_eq!(names(&cache.owned_by("o")), ["y"]);
        assert_eq!(changes.load(Ordering::Relaxed), 3);
        cache.apply(SourceEvent::Reset(vec![object("a", "x", 6, None)], 7));
        assert_eq!(changes.load(Ordering::Relaxed), 4, "only the absent one was announced");
        drop(subscription);
        cache.apply(SourceEvent::Deleted(object("a", "x", 6, None), 8));
        assert_eq!((changes.load(Ordering::Relaxed), cache.len(), cache.revision()), (4, 0, 8));
    }
}
