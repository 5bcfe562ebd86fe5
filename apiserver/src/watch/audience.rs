//! Those who watch the same objects: an event is looked at once for all of them, and wakes none whom it does not concern.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    frame::{self, Meaning},
    hub::Event,
};
use crate::storage::read::Selection;

/// An event, and what it means to an audience.
pub(crate) type Told = (Meaning, Arc<Event>);

/// What an audience watches.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Topic {
    namespace: Box<str>,
    selectors: Box<str>,
}

impl Topic {
    /// What is selected in a namespace; in all of them when that is empty.
    pub(crate) fn new(namespace: &str, selection: &Selection) -> Self {
        Self { namespace: namespace.into(), selectors: selection.text().into() }
    }
}

/// Watchers of one topic.
pub(crate) struct Audience {
    namespace: Box<str>,
    selection: Arc<Selection>,
    recent: Mutex<Recent>,
    signal: watch::Sender<()>,
}

struct Recent {
    events: VecDeque<Told>,
    /// Every event after this revision that concerns the audience, and that the hub has told, is here.
    after: i64,
}

impl Audience {
    /// Nobody yet, who will hear of every event after `reached`.
    pub(crate) fn new(namespace: &str, selection: Arc<Selection>, reached: i64) -> Self {
        let recent = Recent { events: VecDeque::new(), after: reached };
        Self { namespace: namespace.into(), selection, recent: Mutex::new(recent), signal: watch::Sender::new(()) }
    }

    /// Those of the events that concern the audience.
    pub(crate) fn concerning(&self, events: &[Arc<Event>]) -> Vec<Told> {
        let told = |event: &Arc<Event>| {
            frame::meaning(event, &self.namespace, &self.selection).map(|meaning| (meaning, event.clone()))
        };
        events.iter().filter_map(told).collect()
    }

    /// Keeps what concerns the audience, and wakes it if there is anything. What is older than `first` is let go.
    pub(crate) fn tell(&self, events: &[Arc<Event>], first: i64) {
        let concerning = self.concerning(events);
        let wakes = !concerning.is_empty();
        let mut recent = self.recent.lock();
        recent.events.extend(concerning);
        while let Some((_, event)) = recent.events.pop_front_if(|(_, event)| event.revision < first) {
            recent.after = event.revision;
        }
        drop(recent);
        if wakes {
            self.signal.send_replace(());
        }
    }

    /// Forgets everything up to a revision, and wakes everybody.
    pub(crate) fn restart(&self, reached: i64) {
        *self.recent.lock() = Recent { events: VecDeque::new(), after: reached };
        self.signal.send_replace(());
    }

    /// Every event from a revision on that concerns the audience; `None` when some may be gone.
    pub(crate) fn from(&self, revision: i64) -> Option<Vec<Told>> {
        let recent = self.recent.lock();
        let start = recent.events.partition_point(|(_, event)| event.revision < revision);
        (revision > recent.after).then(|| recent.events.range(start..).cloned().collect())
    }

    /// Rings when something concerns the audience.
    pub(crate) fn signal(&self) -> watch::Receiver<()> {
        self.signal.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use api::stored::StoredObject;

    use super::*;
    use crate::{options::ListOptions, resource::Resources, runtime_config::RuntimeConfig, watch::frame::Cached};

    fn object(revision: i64, app: &str) -> Option<Arc<StoredObject>> {
        let json = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"a","namespace":"n","labels":{{"app":"{app}"}}}}}}"#
        );
        StoredObject::from_json(json.into(), revision, &[]).ok().map(Arc::new)
    }

    fn event(revision: i64, from: &str, to: &str) -> Arc<Event> {
        let (previous, object) = (object(revision - 1, from), object(revision, to));
        Arc::new(Event { revision, object, previous, cached: Cached::default() })
    }

    fn audience(labels: &str, reached: i64) -> Audience {
        let resources = Resources::new(&RuntimeConfig::default());
        let options = ListOptions { label_selector: labels.to_owned(), ..ListOptions::default() };
        let selection = Selection::parse(&resources.get("", "pods").unwrap(), &options).unwrap();
        Audience::new("n", Arc::new(selection), reached)
    }

    fn seen(told: Option<Vec<Told>>) -> Option<Vec<(Meaning, i64)>> {
        Some(told?.iter().map(|(meaning, event)| (*meaning, event.revision)).collect())
    }

    #[test]
    fn only_whom_an_event_concerns_is_woken_by_it() {
        let (web, db) = (audience("app=web", 10), audience("app=db", 10));
        let (web_signal, db_signal) = (web.signal(), db.signal());
        let events = [event(11, "web", "web"), event(12, "web", "x"), event(13, "x", "web")];
        for audience in [&web, &db] {
            audience.tell(&events, 0);
        }
        let changed = |signal: &watch::Receiver<()>| signal.has_changed().unwrap();
        assert!(changed(&web_signal) && !changed(&db_signal));
        let all = [(Meaning::Modified, 11), (Meaning::Deleted, 12), (Meaning::Added, 13)];
        assert_eq!(seen(web.from(11)).unwrap(), all);
        assert_eq!(seen(web.from(13)).unwrap(), all[2..]);
        assert_eq!(seen(db.from(11)).unwrap(), []);
        assert!(web.from(10).is_none(), "what was before the audience is not here");
    }

    #[test]
    fn what_is_let_go_is_known_to_be_missing_but_not_what_concerned_nobody() {
        let (web, db) = (audience("app=web", 10), audience("app=db", 10));
        for revision in 11..20 {
            for audience in [&web, &db] {
                audience.tell(&[event(revision, "web", "web")], revision - 1);
            }
        }
        assert_eq!(seen(web.from(18)).unwrap(), [(Meaning::Modified, 18), (Meaning::Modified, 19)]);
        assert!(web.from(17).is_none());
        assert_eq!(seen(db.from(11)).unwrap(), [], "a watcher that slept all the time has missed nothing");
        let signal = web.signal();
        web.restart(30);
        assert!(web.from(19).is_none() && signal.has_changed().unwrap());
    }
}
