//! One hub per watched resource: rows become objects once, however many watch.
//!
//! A watcher is a cursor, not a queue: it reads the hub's ring of recent events, or, when it began before the ring or
//! fell out of it, the store's own history until it has caught up. So a slow watcher holds no memory and loses nothing.
//! Who watches the same shares an [`Audience`]: what does not concern it costs its watchers nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use api::stored::StoredObject;
use bytes::Bytes;
use parking_lot::Mutex;
use store::{WatchBatch, WatchItem, WatchRange, WatchStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    audience::{Audience, Told, Topic},
    frame::Cached,
};
use crate::{
    resource::Resource,
    storage::{Storage, read::Selection},
};

const RING_BYTES: usize = 8 << 20;
const RING_EVENTS: usize = 16_384;

/// One change of one object.
pub(crate) struct Event {
    /// The revision the change made.
    pub(crate) revision: i64,
    /// The object afterwards; `None` when it was deleted.
    pub(crate) object: Option<Arc<StoredObject>>,
    /// The object before; `None` when it is new.
    pub(crate) previous: Option<Arc<StoredObject>>,
    /// What was already encoded of it.
    pub(crate) cached: Cached,
}

impl Event {
    fn size(&self) -> usize {
        [&self.object, &self.previous].into_iter().flatten().map(|object| object.json().len()).sum::<usize>() + 256
    }
}

/// Events in order, and what they mean to whom they are told; every change up to `revision` has been told.
pub(crate) struct Batch {
    pub(crate) revision: i64,
    pub(crate) events: Vec<Told>,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event from this revision on is here.
    first: i64,
    /// Every event up to this revision is here.
    reached: i64,
}

impl Ring {
    fn push(&mut self, events: &[Arc<Event>], reached: i64) {
        self.bytes += events.iter().map(|event| event.size()).sum::<usize>();
        self.events.extend(events.iter().cloned());
        self.reached = reached;
        while self.bytes > RING_BYTES || self.events.len() > RING_EVENTS {
            let Some(oldest) = self.events.front().map(|event| event.revision) else { break };
            // A revision is never split.
            while let Some(event) = self.events.pop_front_if(|event| event.revision == oldest) {
                self.bytes -= event.size();
            }
            self.first = oldest + 1;
        }
    }

    fn from(&self, revision: i64) -> Vec<Arc<Event>> {
        let start = self.events.partition_point(|event| event.revision < revision);
        self.events.range(start..).cloned().collect()
    }
}

/// The events of one resource.
pub(crate) struct Hub {
    storage: Storage,
    resource: Arc<Resource>,
    ring: Mutex<Ring>,
    /// Locked before the ring. An audience ends with its last watcher. They are told in the same order each time, so that a
    /// simulation can be repeated.
    audiences: Mutex<BTreeMap<Topic, Weak<Audience>>>,
}

impl Hub {
    /// A hub, and the task that feeds it until `shutdown`.
    pub(crate) fn new(
        storage: Storage,
        resource: Arc<Resource>,
        shutdown: CancellationToken,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send) {
        let reached = storage.view().revision();
        let ring = Ring { events: VecDeque::new(), bytes: 0, first: reached + 1, reached };
        let hub = Arc::new(Self { storage, resource, ring: Mutex::new(ring), audiences: Mutex::default() });
        let feed = hub.clone().feed(shutdown);
        (hub, feed)
    }

    async fn feed(self: Arc<Self>, shutdown: CancellationToken) {
        let mut rows = self.rows(self.ring.lock().reached + 1);
        loop {
            let item = tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.resource.gone.cancelled() => return,
                item = rows.next() => item,
            };
            match item {
                Ok(WatchItem::Events(batch)) => self.publish(&self.events(&batch), batch.revision),
                Ok(WatchItem::Progress(revision)) => self.ring.lock().reached = revision,
                Err(store::Error::Compacted { .. }) => rows = self.restart(),
                Err(error) => return tracing::debug!(%error, resource = self.resource.kind.plural, "watch ended"),
            }
        }
    }

    /// Tells events. Audiences have them before the ring says how far everything is told.
    fn publish(&self, events: &[Arc<Event>], reached: i64) {
        let mut audiences = self.audiences.lock();
        let first = self.ring.lock().first;
        audiences.retain(|_, audience| audience.upgrade().inspect(|audience| audience.tell(events, first)).is_some());
        self.ring.lock().push(events, reached);
    }

    /// Begins anew after a snapshot replaced the history; cursors behind it find that out by themselves.
    fn restart(&self) -> WatchStream {
        let reached = self.storage.view().revision();
        let audiences = self.audiences.lock();
        *self.ring.lock() = Ring { events: VecDeque::new(), bytes: 0, first: reached + 1, reached };
        audiences.values().filter_map(Weak::upgrade).for_each(|audience| audience.restart(reached));
        drop(audiences);
        self.rows(reached + 1)
    }

    /// Those who watch this.
    fn audience(&self, namespace: &str, selection: &Arc<Selection>) -> Arc<Audience> {
        let topic = Topic::new(namespace, selection);
        let mut audiences = self.audiences.lock();
        if let Some(known) = audiences.get(&topic).and_then(Weak::upgrade) {
            return known;
        }
        let reached = self.ring.lock().reached;
        let audience = Arc::new(Audience::new(namespace, selection.clone(), reached));
        audiences.insert(topic, Arc::downgrade(&audience));
        audience
    }

    fn rows(&self, start_revision: i64) -> WatchStream {
        let key = Bytes::copy_from_slice(self.resource.root.as_bytes());
        let mut end = self.resource.root.clone().into_bytes();
        // The root ends with a slash, so the end of its range ends with the byte after it.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let range = WatchRange {
            key,
            range_end: end.into(),
            start_revision,
            progress: Some(std::time::Duration::from_secs(5)),
            ..WatchRange::default()
        };
        self.storage.store().watch(range)
    }

    fn events(&self, batch: &WatchBatch) -> Vec<Arc<Event>> {
        let read = |record: &store::Record| match self.storage.decode(&self.resource, &record.kv) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                tracing::error!(%error, "a stored object cannot be read");
                None
            }
        };
        let event = |event: &store::Event| {
            let object = if event.is_delete() { None } else { read(&event.record) };
            let previous = event.previous.as_deref().and_then(read);
            Arc::new(Event { revision: event.revision(), object, previous, cached: Cached::default() })
        };
        batch.events.iter().map(event).collect()
    }

    /// A cursor that tells every event after `revision` of what is selected in a namespace, or in all of them.
    pub(crate) fn cursor(self: &Arc<Self>, revision: i64, namespace: &str, selection: &Arc<Selection>) -> Cursor {
        let audience = self.audience(namespace, selection);
        Cursor { signal: audience.signal(), audience, hub: self.clone(), next: revision + 1, past: None }
    }
}

/// One watcher's place among the events.
pub(crate) struct Cursor {
    hub: Arc<Hub>,
    audience: Arc<Audience>,
    signal: watch::Receiver<()>,
    next: i64,
    past: Option<WatchStream>,
}

/// What a look at the recent events brought.
enum Look {
    Told(Batch),
    Nothing,
    Behind,
}

impl Cursor {
    /// What happened since the last call, all that is ready at once. Errors are final.
    pub(crate) async fn next(&mut self) -> Result<Batch, store::Error> {
        loop {
            self.signal.mark_unchanged();
            match self.look() {
                Look::Told(batch) => {
                    // Whoever falls behind again begins from here, not from where it caught up.
                    self.past = None;
                    return Ok(batch);
                }
                Look::Behind => return self.catch_up().await,
                Look::Nothing => {
                    self.past = None;
                    self.signal.changed().await.map_err(|_| store::Error::Stopped)?;
                }
            }
        }
    }

    fn look(&mut self) -> Look {
        let ring = self.hub.ring.lock();
        let (reached, events) = match self.audience.from(self.next) {
            Some(events) => (ring.reached, events),
            None if self.next < ring.first => return Look::Behind,
            // It began before its audience did.
            None => {
                let (reached, events) = (ring.reached, ring.from(self.next));
                drop(ring);
                (reached, self.audience.concerning(&events))
            }
        };
        // The audience may be ahead of the ring, by whole revisions.
        let reached = events.last().map_or(reached, |(_, event)| event.revision.max(reached));
        self.next = self.next.max(reached + 1);
        if events.is_empty() { Look::Nothing } else { Look::Told(Batch { revision: reached, events }) }
    }

    async fn catch_up(&mut self) -> Result<Batch, store::Error> {
        let rows = self.past.get_or_insert_with(|| self.hub.rows(self.next));
        let batch = match rows.next().await? {
            WatchItem::Events(batch) => {
                Batch { revision: batch.revision, events: self.audience.concerning(&self.hub.events(&batch)) }
            }
            WatchItem::Progress(revision) => Batch { revision, events: Vec::new() },
        };
        self.next = batch.revision + 1;
        Ok(batch)
    }

    /// Every event up to this revision has been told. Whom nothing concerns is not woken, so how far it is is found out here.
    pub(crate) fn reached(&mut self) -> i64 {
        let reached = self.hub.ring.lock().reached;
        if self.audience.from(self.next).is_some_and(|events| events.is_empty()) {
            self.next = self.next.max(reached + 1);
        }
        self.next - 1
    }
}
