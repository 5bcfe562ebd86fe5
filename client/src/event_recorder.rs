//! Writes core/v1 Events: what a component wants an operator to read.
//!
//! Recording never waits and never fails: Events are hints. The same Event again raises the count of the first one; an
//! object that complains endlessly is held to a burst and then one Event in five minutes, as upstream does.

use std::collections::BTreeMap;
use std::time::Duration;

use api::surroundings::Surroundings;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A rolling update of a thousand pods fits; more is dropped rather than kept in memory.
const QUEUE_EVENTS_MAX: usize = 1024;
/// As upstream's correlator; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 4096;
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// Whether an Event is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Someone should look.
    Warning,
}

impl Severity {
    /// The value of `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Something to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// What it is about.
    pub about: ObjectReference,
    /// Good or bad.
    pub severity: Severity,
    /// In CamelCase, for machines.
    pub reason: String,
    /// A sentence, for people.
    pub message: String,
}

/// The cheap handle components hold.
#[derive(Clone)]
pub struct EventRecorder {
    sender: mpsc::Sender<Note>,
}

/// Writes what the recorders note. Its owner runs it.
pub struct EventWriter {
    notes: mpsc::Receiver<Note>,
    component: String,
    host: String,
    surroundings: Surroundings,
    remembered: BTreeMap<Identity, Remembered>,
    buckets: BTreeMap<String, Bucket>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    uid: String,
    object: String,
    severity: Severity,
    reason: String,
    message: String,
}

struct Remembered {
    name: String,
    count: i32,
    last: Instant,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl EventRecorder {
    /// A recorder and the writer behind it. `component` is the source (`deployment-controller`), `host` where it runs.
    pub fn new(component: &str, host: &str) -> (Self, EventWriter) {
        let (sender, notes) = mpsc::channel(QUEUE_EVENTS_MAX);
        let writer = EventWriter {
            notes,
            component: component.to_owned(),
            host: host.to_owned(),
            surroundings: Surroundings::real(),
            remembered: BTreeMap::new(),
            buckets: BTreeMap::new(),
        };
        (Self { sender }, writer)
    }

    /// Notes it; drops it when too much is waiting already.
    pub fn record(&self, note: Note) {
        if let Err(error) = self.sender.try_send(note) {
            tracing::debug!(%error, "an event was dropped");
        }
    }
}

impl EventWriter {
    /// The same with another time of day.
    #[must_use]
    pub fn surrounded_by(self, surroundings: Surroundings) -> Self {
        Self { surroundings, ..self }
    }

    /// Writes through `client` until `shutdown`, or until all recorders are gone.
    pub async fn run(mut self, client: kube::Client, shutdown: CancellationToken) {
        loop {
            let note = tokio::select! {
                note = self.notes.recv() => note,
                () = shutdown.cancelled() => None,
            };
            let Some(note) = note else { return };
            tokio::select! {
                () = self.write(&client, note) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn write(&mut self, client: &kube::Client, note: Note) {
        let now = Instant::now();
        if !self.allowed(&note.about, now) {
            return;
        }
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let identity = Identity::of(&note);
        if let Some(known) = self.remembered.get_mut(&identity) {
            known.count = known.count.saturating_add(1);
            known.last = now;
            let patch = json!({"count": known.count, "lastTimestamp": Time(self.surroundings.now())});
            match events.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return,
                // It expired, or its namespace went: begin anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return tracing::debug!(%error, "an event was not counted"),
            }
        }
        let event = self.event(note, &namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => self.remember(identity, Remembered { name, count: 1, last: now }),
            Err(error) => tracing::debug!(%error, "an event was not written"),
        }
    }

    fn event(&self, note: Note, namespace: &str) -> Event {
        let now = self.surroundings.now();
        let object = note.about.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{object}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: note.about,
            reason: Some(note.reason),
            message: Some(note.message),
            type_: Some(note.severity.as_str().to_owned()),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource { component: Some(self.component.clone()), host: Some(self.host.clone()) }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        }
    }

    fn remember(&mut self, identity: Identity, event: Remembered) {
        if self.remembered.len() >= REMEMBERED_MAX {
            let oldest =
                self.remembered.iter().min_by_key(|(_, known)| known.last).map(|(identity, _)| identity.clone());
            if let Some(oldest) = oldest {
                self.remembered.remove(&oldest);
            }
        }
        self.remembered.insert(identity, event);
    }

    fn allowed(&mut self, about: &ObjectReference, now: Instant) -> bool {
        let key = identity_of(about);
        if self.buckets.len() >= REMEMBERED_MAX {
            self.buckets.retain(|_, bucket| now.duration_since(bucket.filled) < REFILL);
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: BURST, filled: now });
        let gained = now.duration_since(bucket.filled).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(BURST);
        bucket.filled = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

impl Identity {
    fn of(note: &Note) -> Self {
        Self {
            uid: note.about.uid.clone().unwrap_or_default(),
            object: identity_of(&note.about),
            severity: note.severity,
            reason: note.reason.clone(),
            message: note.message.clone(),
        }
    }
}

fn identity_of(about: &ObjectReference) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {}/{} {}", part(&about.kind), part(&about.namespace), part(&about.name), part(&about.field_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_complains_endlessly_is_held_to_a_burst() {
        let (_recorder, mut writer) = EventRecorder::new("test", "host");
        let about = ObjectReference { name: Some("web".into()), ..ObjectReference::default() };
        let now = Instant::now();
        let allowed = (0..100).filter(|_| writer.allowed(&about, now)).count();
        assert_eq!(allowed, 25);
        assert!(writer.allowed(&about, now + REFILL));
        let another = ObjectReference { name: Some("db".into()), ..ObjectReference::default() };
        assert!(writer.allowed(&another, now));
    }

    #[tokio::test]
    async fn what_does_not_fit_in_the_queue_is_dropped() {
        let (recorder, writer) = EventRecorder::new("test", "host");
        for _ in 0..QUEUE_EVENTS_MAX + 10 {
            recorder.record(Note {
                about: ObjectReference::default(),
                severity: Severity::Normal,
                reason: "Tested".into(),
                message: "it was".into(),
            });
        }
        assert_eq!(writer.notes.len(), QUEUE_EVENTS_MAX);
    }
}
