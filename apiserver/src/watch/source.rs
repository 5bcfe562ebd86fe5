//! Objects for caches inside this process: the same bytes and headers the API serves, without a codec in between.

use std::{collections::VecDeque, sync::Arc};

use api::stored::StoredObject;
use futures_util::Stream;

use super::hub::{Cursor, Hub};
use crate::{
    error::Result,
    options::ListOptions,
    resource::Resource,
    storage::{Storage, read::Selection},
};

/// What a cache has to do.
#[derive(Debug, Clone)]
pub enum SourceEvent {
    /// Forget everything and begin with these, which are all there is at this revision.
    Reset(Vec<Arc<StoredObject>>, i64),
    /// An object is new or has changed.
    Applied(Arc<StoredObject>),
    /// An object is gone; this is what it was.
    Deleted(Arc<StoredObject>),
}

/// All objects of a resource, and then every change. After a gap it begins anew; it ends when the store stops.
pub(crate) fn stream(
    storage: Storage,
    resource: Arc<Resource>,
    hub: Arc<Hub>,
) -> impl Stream<Item = SourceEvent> + Send {
    let state = State { storage, resource, hub, cursor: None, ready: VecDeque::new() };
    futures_util::stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    })
}

struct State {
    storage: Storage,
    resource: Arc<Resource>,
    hub: Arc<Hub>,
    cursor: Option<Cursor>,
    ready: VecDeque<SourceEvent>,
}

impl State {
    async fn next(&mut self) -> Option<SourceEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let Some(cursor) = &mut self.cursor else {
                return match self.reset().await {
                    Ok(event) => Some(event),
                    Err(error) => {
                        tracing::error!(%error, resource = self.resource.kind.plural, "cannot list for a cache");
                        None
                    }
                };
            };
            match cursor.next().await {
                Ok(batch) => {
                    self.ready.extend(batch.events.iter().filter_map(|event| match (&event.object, &event.previous) {
                        (Some(object), _) => Some(SourceEvent::Applied(object.clone())),
                        (None, Some(previous)) => Some(SourceEvent::Deleted(previous.clone())),
                        (None, None) => None,
                    }))
                }
                Err(store::Error::Compacted { .. }) => self.cursor = None,
                Err(_) => return None,
            }
        }
    }

    async fn reset(&mut self) -> Result<SourceEvent> {
        let options = ListOptions { resource_version: "0".to_owned(), ..ListOptions::default() };
        let page = self.storage.list(&self.resource, "", &options, &Selection::default()).await?;
        self.cursor = Some(self.hub.cursor(page.revision));
        Ok(SourceEvent::Reset(page.objects.into_iter().map(Arc::new).collect(), page.revision))
    }
}
