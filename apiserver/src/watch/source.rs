//! Objects for caches inside this process: the same bytes and headers the API serves, without a codec in between.

use std::{collections::VecDeque, sync::Arc};

use api::stored::StoredObject;
use futures_util::Stream;

use tokio::sync::watch;

use super::hub::Cursor;
use crate::{error::Result, options::ListOptions, resource::Resource, server::Server, storage::read::Selection};

/// What a cache has to do.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// Forget everything and begin with these, which are all there is at this revision.
    Reset(Vec<Arc<StoredObject>>, i64),
    /// An object is new or has changed.
    Applied(Arc<StoredObject>),
    /// An object is gone since this revision; this is what it was.
    Deleted(Arc<StoredObject>, i64),
}

/// Which resource is meant.
pub(crate) enum Target {
    /// This one, which stays.
    BuiltIn(Arc<Resource>),
    /// Whatever is served under this group, version and plural name: now nothing, now one kind, now another.
    Custom(String, String, String),
}

/// All objects of a resource, and then every change. After a gap it begins anew, and so it does when a resource that
/// users define comes, changes or goes; it ends when the store stops.
pub(crate) fn stream(server: Arc<Server>, target: Target) -> impl Stream<Item = SourceEvent> + Send {
    let changes = server.storage.resources().changes();
    let state = State { server, target, changes, following: None, told_of_nothing: false, ready: VecDeque::new() };
    futures_util::stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    })
}

struct State {
    server: Arc<Server>,
    target: Target,
    changes: watch::Receiver<u64>,
    following: Option<(Arc<Resource>, Cursor)>,
    /// Whether it was said that there is nothing, as long as there is no such resource.
    told_of_nothing: bool,
    ready: VecDeque<SourceEvent>,
}

impl State {
    async fn next(&mut self) -> Option<SourceEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let Some((resource, cursor)) = &mut self.following else {
                match self.begin().await {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) => self.changes.changed().await.ok()?,
                    Err(error) => {
                        tracing::error!(%error, "cannot list for a cache");
                        return None;
                    }
                }
                continue;
            };
            let batch = tokio::select! {
                () = resource.gone.cancelled() => None,
                batch = cursor.next() => Some(batch),
            };
            match batch {
                Some(Ok(batch)) => self.ready.extend(batch.events.iter().filter_map(|(_, event)| {
                    match (&event.object, &event.previous) {
                        (Some(object), _) => Some(SourceEvent::Applied(object.clone())),
                        (None, Some(previous)) => Some(SourceEvent::Deleted(previous.clone(), event.revision)),
                        (None, None) => None,
                    }
                })),
                None | Some(Err(store::Error::Compacted { .. })) => self.following = None,
                Some(Err(_)) => return None,
            }
        }
    }

    /// Begins anew; `None` when it is known already that there is nothing.
    async fn begin(&mut self) -> Result<Option<SourceEvent>> {
        self.changes.borrow_and_update();
        let storage = &self.server.storage;
        let resource = match &self.target {
            Target::BuiltIn(resource) => Some(resource.clone()),
            Target::Custom(group, version, plural) => storage.resources().served(group, version, plural),
        };
        let Some(resource) = resource else {
            let told = std::mem::replace(&mut self.told_of_nothing, true);
            return Ok((!told).then(|| SourceEvent::Reset(Vec::new(), storage.view().revision())));
        };
        self.told_of_nothing = false;
        let hub = self.server.hub(&resource);
        let options = ListOptions { resource_version: "0".to_owned(), ..ListOptions::default() };
        let everything = Arc::new(Selection::default());
        let page = storage.list(&resource, "", &options, &everything).await?;
        self.following = Some((resource, hub.cursor(page.about.revision, "", &everything)));
        Ok(Some(SourceEvent::Reset(page.objects.into_iter().map(Arc::new).collect(), page.about.revision)))
    }
}
