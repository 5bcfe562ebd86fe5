//! Do not look again before you can see what you did.
//!
//! A cache lags behind the writes made through it. A controller that looked too early would create the pod it just
//! created again. So each write leaves an expectation, and a key waits until all of its are met, or too old.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Key, Resource};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Item;
use crate::caches::Caches;

/// A watch that lags by more than this is broken, and acting late is better than never.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the cache has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) resource: Resource,
    pub(crate) key: Key,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// This revision of the object, or that it is gone.
    Revision(i64),
    /// That this object is gone, or going.
    Deleted { uid: String },
}

#[derive(Default)]
pub(super) struct Expectations {
    open: Mutex<BTreeMap<Item, (Instant, Vec<Expected>)>>,
}

impl Expectations {
    pub(super) fn add(&self, item: &Item, expected: Vec<Expected>) {
        if !expected.is_empty() {
            self.open.lock().insert(item.clone(), (Instant::now() + PATIENCE, expected));
        }
    }

    /// Whether everything the key's last plan did is visible.
    pub(super) fn met(&self, item: &Item, caches: &Caches) -> bool {
        let mut open = self.open.lock();
        let Some((deadline, expected)) = open.get_mut(item) else { return true };
        expected.retain(|expected| !visible(expected, caches));
        let late = Instant::now() >= *deadline;
        if late && let Some(first) = expected.first() {
            let first = format!("{} {} {:?}", first.resource, first.key, first.what);
            tracing::warn!(controller_key = %item.key, missing = expected.len(), first, "own writes are still not visible");
        }
        let met = late || expected.is_empty();
        if met {
            open.remove(item);
        }
        met
    }
}

fn visible(expected: &Expected, caches: &Caches) -> bool {
    let cache = caches.of(&expected.resource);
    let entry = cache.get(&expected.key);
    match &expected.what {
        What::Revision(revision) => {
            entry.is_some_and(|entry| entry.object.revision() >= *revision) || cache.revision() >= *revision
        }
        What::Deleted { uid } => {
            entry.is_none_or(|entry| entry.object.header().deleting || *entry.object.header().uid != **uid)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::SourceEvent;
    use client::source::wire::stored_object;

    use super::*;
    use crate::caches::resources::CONFIG_MAPS;

    fn see(caches: &Caches, name: &str, revision: i64) {
        let text =
            format!(r#"{{"metadata":{{"name":"{name}","namespace":"a","uid":"u","resourceVersion":"{revision}"}}}}"#);
        caches.of(&CONFIG_MAPS).apply(SourceEvent::Applied(Arc::new(stored_object(&text).unwrap())));
    }

    #[tokio::test]
    async fn a_key_waits_until_its_writes_are_visible() {
        let caches = Caches::new();
        let item = Item::new(CONFIG_MAPS, Key::new("a", "x"));
        let expectations = Expectations::default();
        assert!(expectations.met(&item, &caches));
        let expected = |what| Expected { resource: CONFIG_MAPS, key: Key::new("a", "x"), what };
        expectations.add(&item, vec![expected(What::Revision(7))]);
        see(&caches, "x", 6);
        assert!(!expectations.met(&item, &caches));
        see(&caches, "x", 7);
        assert!(expectations.met(&item, &caches));
        expectations.add(&item, vec![expected(What::Deleted { uid: "u".into() })]);
        assert!(!expectations.met(&item, &caches));
        expectations.add(&item, vec![expected(What::Deleted { uid: "another".into() })]);
        assert!(expectations.met(&item, &caches));
    }
}
