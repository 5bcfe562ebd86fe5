//! Books what has become free, and opens the books of new quotas: the acting leader looks at every change of the store
//! and counts anew in the namespaces that have quotas.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use store::{WatchItem, WatchRange, WatchStream};
use tokio::time::{Instant, sleep_until};

use super::{all, count};
use crate::{
    error::Result,
    resource::ROOT,
    server::Server,
    storage::{Commit, Committed, Expected},
    user::Fence,
};

/// Changes that come within this time are counted together.
const GATHER: Duration = Duration::from_millis(500);

/// Keeps the books for as long as this master acts; ends with the store.
pub(crate) async fn run(server: &Arc<Server>, fence: Fence) {
    loop {
        let (mut rows, mut dirty) = match start(server) {
            Ok(started) => started,
            Err(error) => return tracing::error!(%error, "cannot look at quotas"),
        };
        loop {
            let again = keep(server, fence, &mut dirty).await;
            match gather(&mut rows, &mut dirty, again).await {
                Ok(()) => {}
                // The history is gone: look at everything again.
                Err(store::Error::Compacted { .. }) => break,
                Err(error) => return tracing::debug!(%error, "the changes of the store ended"),
            }
        }
    }
}

/// The changes from now on, and every namespace that has quotas now.
fn start(server: &Server) -> Result<(WatchStream, BTreeSet<String>)> {
    let view = server.storage.view();
    let mut namespaces = BTreeSet::new();
    if let Some(quotas) = server.storage.resources().get("", "resourcequotas") {
        for row in view.prefix(quotas.root.as_bytes(), b"", usize::MAX, 0)?.kvs {
            namespaces.extend(namespace_of(&row.key, &quotas.root));
        }
    }
    let mut end = ROOT.to_owned().into_bytes();
    // The root ends with a slash, so the end of its range ends with the byte after it.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let key = Bytes::from_static(ROOT.as_bytes());
    let range = WatchRange { key, range_end: end.into(), start_revision: view.revision() + 1, ..WatchRange::default() };
    Ok((server.storage.store().watch(range), namespaces))
}

fn namespace_of(key: &[u8], root: &str) -> Option<String> {
    let (namespace, _) = std::str::from_utf8(key).ok()?.strip_prefix(root)?.split_once('/')?;
    Some(namespace.to_owned())
}

/// Waits for changes, and then a little for more of them.
async fn gather(rows: &mut WatchStream, dirty: &mut BTreeSet<String>, again: bool) -> Result<(), store::Error> {
    let mut until = (again || !dirty.is_empty()).then(|| Instant::now() + GATHER);
    loop {
        let item = tokio::select! {
            item = rows.next() => item?,
            () = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            } => return Ok(()),
        };
        if let WatchItem::Events(batch) = item {
            for event in batch.events.iter() {
                // `/registry/[group/]plural/namespace/name`: the part before the last is the namespace, if there is one.
                let key = std::str::from_utf8(&event.record.kv.key).unwrap_or_default();
                dirty.extend(key.rsplit('/').nth(1).map(str::to_owned));
            }
            until.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }
}

/// Counts in every namespace that may have changed; true when a write came between and it has to be done again.
async fn keep(server: &Arc<Server>, fence: Fence, dirty: &mut BTreeSet<String>) -> bool {
    let mut again = BTreeSet::new();
    for namespace in std::mem::take(dirty) {
        match books(server, fence, &namespace).await {
            Ok(true) => {}
            Ok(false) => drop(again.insert(namespace)),
            Err(error) => {
                tracing::debug!(%error, namespace, "cannot keep the books of a namespace");
                again.insert(namespace);
            }
        }
    }
    *dirty = again;
    !dirty.is_empty()
}

/// Brings the quotas of a namespace up to date; false when somebody else changed one meanwhile.
async fn books(server: &Server, fence: Fence, namespace: &str) -> Result<bool> {
    let storage = &server.storage;
    let Some(resource) = storage.resources().get("", "resourcequotas") else { return Ok(true) };
    let view = storage.view();
    let mut done = true;
    for quota in all(storage, &view, namespace)? {
        let Some(value) = quota.with(&count(storage, &view, namespace, &quota)?, server.config.surroundings.now())
        else {
            continue;
        };
        let commit = Commit {
            key: &quota.key,
            expected: Expected::Revision(quota.revision),
            value: Some(&value),
            fence: Some(fence),
            ..Commit::of(&resource)
        };
        done &= matches!(storage.commit_or_rehearse(commit, false).await?, Committed::Done(_));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_namespace() {
        assert_eq!(namespace_of(b"/registry/resourcequotas/a/b", "/registry/resourcequotas/").as_deref(), Some("a"));
        assert_eq!(namespace_of(b"/registry/resourcequotas/a", "/registry/resourcequotas/"), None);
    }
}
