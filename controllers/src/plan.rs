//! What a reconcile decided: every name, number and reason is in here; the runtime only sends it.
//!
//! The text form is what tests compare and reviewers read.

use std::fmt;
use std::time::Duration;

use client::event_recorder::{Note, Severity};
use client::{Key, Resource};
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

pub(crate) mod merge_diff;

/// A decision. The default is: nothing to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order; a step that fails ends the plan, except for steps that run [`Step::always`].
    pub steps: Vec<Step>,
    /// What to tell people, whatever the steps do.
    pub notes: Vec<Note>,
    /// Look again after this time, though nothing changes.
    pub wake_after: Option<Duration>,
}

/// Acts that do not depend on each other.
#[derive(Debug)]
pub struct Step {
    /// The acts.
    pub acts: Vec<Act>,
    /// How many at a time.
    pub pace: Pace,
    /// Run although an earlier step failed: a status says what is, not what was wished.
    pub always: bool,
}

/// How many acts of a step run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As many as the runtime allows.
    Together,
    /// One, then two, then four: when the first pod of a thousand is refused, the other 999 are not tried.
    SlowStart,
}

/// One request, and what to say about it.
#[derive(Debug)]
pub struct Act {
    /// The request.
    pub action: Action,
    /// Recorded when it succeeded.
    pub on_success: Option<Note>,
    /// Recorded when it failed, with the reason appended.
    pub on_failure: Option<Note>,
}

/// A request.
#[derive(Debug)]
pub enum Action {
    /// Create an object.
    Create {
        /// Of which resource.
        resource: Resource,
        /// The whole object; namespace and name are in its metadata.
        body: Value,
    },
    /// Change an object by a JSON merge patch. A `metadata.resourceVersion` in it is a condition.
    Patch {
        /// Of which resource.
        resource: Resource,
        /// Which one.
        key: Key,
        /// `status`, or empty.
        subresource: &'static str,
        /// The patch.
        patch: Value,
    },
    /// Replace a subresource.
    Put {
        /// Of which resource.
        resource: Resource,
        /// Which one.
        key: Key,
        /// Such as `finalize`.
        subresource: &'static str,
        /// The whole object.
        body: Value,
    },
    /// Delete one object, if it still is this one.
    Delete {
        /// Of which resource.
        resource: Resource,
        /// Which one.
        key: Key,
        /// Its identity.
        uid: String,
        /// Seconds of grace; `None` is the object's own.
        grace_seconds: Option<i64>,
        /// Its dependents go first.
        foreground: bool,
    },
    /// Delete whatever a resource has in a namespace.
    DeleteAll {
        /// Of which resource.
        resource: Resource,
        /// Where.
        namespace: String,
    },
    /// Look at the store itself, where a stale cache must not decide. A claim that does not hold ends the plan.
    Confirm(Confirm),
}

/// A claim about what the store holds now.
#[derive(Debug)]
pub enum Confirm {
    /// A namespace has no object of a resource.
    Empty {
        /// Of which resource.
        resource: Resource,
        /// Where.
        namespace: String,
    },
    /// An object is gone: there is none of this name, or it is another one.
    Absent {
        /// Of which resource.
        resource: Resource,
        /// Which one.
        key: Key,
        /// Its identity; `None`: whichever has the name.
        uid: Option<String>,
    },
    /// No other object of a cluster-scoped resource has one of these values in a field that is a list of strings.
    Unclaimed {
        /// Of which resource.
        resource: Resource,
        /// The one that claims.
        by: Key,
        /// A JSON pointer.
        field: &'static str,
        /// What is claimed.
        values: Vec<String>,
    },
    /// No object of a resource uses another object: none in its namespace, or none at all if it has no namespace.
    Unused {
        /// The one that may be used.
        key: Key,
        /// Of which resource its users are.
        by: Resource,
        /// Whether an object uses the one of that key.
        uses: fn(&Value, &Key) -> bool,
    },
}

impl Plan {
    /// Adds a step of one act.
    pub(crate) fn act(&mut self, act: impl Into<Act>) {
        self.steps.push(Step { acts: vec![act.into()], pace: Pace::Together, always: false });
    }

    /// Adds a step; nothing when there are no acts.
    pub(crate) fn step(&mut self, pace: Pace, acts: Vec<Act>) {
        if !acts.is_empty() {
            self.steps.push(Step { acts, pace, always: false });
        }
    }

    /// Adds a step that runs even when the steps before failed.
    pub(crate) fn always(&mut self, action: Action) {
        self.steps.push(Step { acts: vec![action.into()], pace: Pace::Together, always: true });
    }

    /// Wakes at the earlier of two times.
    pub(crate) fn wake(&mut self, after: Duration) {
        self.wake_after = Some(self.wake_after.map_or(after, |before| before.min(after)));
    }
}

impl From<Action> for Act {
    fn from(action: Action) -> Self {
        Self { action, on_success: None, on_failure: None }
    }
}

impl Act {
    pub(crate) fn say(mut self, note: Note) -> Self {
        self.on_success = Some(note);
        self
    }

    pub(crate) fn complain(mut self, note: Note) -> Self {
        self.on_failure = Some(note);
        self
    }
}

pub(crate) fn normal(about: &ObjectReference, reason: &str, message: impl Into<String>) -> Note {
    Note { about: about.clone(), severity: Severity::Normal, reason: reason.to_owned(), message: message.into() }
}

pub(crate) fn warning(about: &ObjectReference, reason: &str, message: impl Into<String>) -> Note {
    Note { about: about.clone(), severity: Severity::Warning, reason: reason.to_owned(), message: message.into() }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            for act in &step.acts {
                writeln!(formatter, "{}", act.action)?;
                if let Some(note) = &act.on_success {
                    writeln!(formatter, "  {}", NoteText(note))?;
                }
            }
        }
        for note in &self.notes {
            writeln!(formatter, "{}", NoteText(note))?;
        }
        if let Some(after) = self.wake_after {
            writeln!(formatter, "wake after {after:?}")?;
        }
        if self.steps.is_empty() && self.notes.is_empty() && self.wake_after.is_none() {
            writeln!(formatter, "nothing to do")?;
        }
        Ok(())
    }
}

struct NoteText<'a>(&'a Note);

impl fmt::Display for NoteText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = self.0;
        let name = note.about.name.as_deref().unwrap_or_default();
        write!(formatter, "say {} {} on {name}: {}", note.severity.as_str(), note.reason, note.message)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { resource, body } => {
                let metadata = &body["metadata"];
                write!(formatter, "create {resource} {}", key_of(metadata))?;
                for (what, value) in [
                    ("replicas", &body["spec"]["replicas"]),
                    ("labels", &metadata["labels"]),
                    ("annotations", &metadata["annotations"]),
                ] {
                    if !value.is_null() {
                        write!(formatter, " {what}={value}")?;
                    }
                }
                Ok(())
            }
            Self::Patch { resource, key, subresource, patch } => {
                write!(formatter, "patch {resource}{} {key} {patch}", Slash(subresource))
            }
            Self::Put { resource, key, subresource, .. } => {
                write!(formatter, "put {resource}{} {key}", Slash(subresource))
            }
            Self::Delete { resource, key, grace_seconds, foreground, .. } => {
                write!(formatter, "delete {resource} {key}")?;
                if *foreground {
                    formatter.write_str(" foreground")?;
                }
                grace_seconds.map_or(Ok(()), |seconds| write!(formatter, " grace={seconds}s"))
            }
            Self::DeleteAll { resource, namespace } => write!(formatter, "delete all {resource} in {namespace}"),
            Self::Confirm(Confirm::Empty { resource, namespace }) => {
                write!(formatter, "confirm no {resource} in {namespace}")
            }
            Self::Confirm(Confirm::Absent { resource, key, uid }) => {
                write!(formatter, "confirm {resource} {key} {} is gone", uid.as_deref().unwrap_or_default())
            }
            Self::Confirm(Confirm::Unclaimed { resource, field, values, .. }) => {
                write!(formatter, "confirm no other of {resource} has {} in {field}", values.join(", "))
            }
            Self::Confirm(Confirm::Unused { key, by, .. }) => write!(formatter, "confirm no {by} use {key}"),
        }
    }
}

struct Slash<'a>(&'a str);

impl fmt::Display for Slash<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.0) }
    }
}

/// The key that an object's metadata gives.
pub(crate) fn key_of(metadata: &Value) -> Key {
    let text = |name: &str| metadata[name].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}
