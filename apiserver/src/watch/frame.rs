//! Watch events as bytes. What many watchers want alike is encoded once.

use std::sync::Arc;

use api::{Object, stored::StoredObject};
use bytes::Bytes;
use parking_lot::Mutex;

use super::hub::Event;
use crate::{
    encode::{self, Show},
    error::Result,
    negotiation::{Encoding, MediaType, Target},
    resource::Resource,
    storage::read::Selection,
};

/// What an event means to one watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Added,
    Modified,
    Deleted,
}

impl Meaning {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

type Form = (Meaning, Encoding, Show);

/// The frames already made of an event; there are few forms in use at a time.
#[derive(Default)]
pub(crate) struct Cached(Mutex<Vec<(Form, Bytes)>>);

/// What the event means to somebody who watches `selection` in `namespace`; `None` when nothing.
pub(crate) fn meaning(event: &Event, namespace: &str, selection: &Selection) -> Option<Meaning> {
    let wanted = |object: &Option<Arc<StoredObject>>| {
        object.as_ref().is_some_and(|object| {
            (namespace.is_empty() || &*object.header().namespace == namespace) && selection.matches(object)
        })
    };
    match (wanted(&event.previous), wanted(&event.object)) {
        (false, true) => Some(Meaning::Added),
        (true, true) => Some(Meaning::Modified),
        // An object that left the selection is shown as it was, at the revision at which it left.
        (true, false) => Some(Meaning::Deleted),
        (false, false) => None,
    }
}

/// The frame of an event, made at most once for each form.
pub(crate) fn event(
    event: &Event,
    meaning: Meaning,
    resource: &Resource,
    encoding: Encoding,
    show: Show,
) -> Result<Bytes> {
    let form = (meaning, encoding, show);
    if let Some((_, frame)) = event.cached.0.lock().iter().find(|(known, _)| *known == form) {
        return Ok(frame.clone());
    }
    let object = match meaning {
        Meaning::Deleted => event.previous.as_ref(),
        Meaning::Added | Meaning::Modified => event.object.as_ref(),
    };
    let Some(object) = object else { return Ok(Bytes::new()) };
    let made = frame(meaning, object, event.revision, resource, encoding, show)?;
    event.cached.0.lock().push((form, made.clone()));
    Ok(made)
}

/// The frame of an object at a revision.
pub(crate) fn frame(
    meaning: Meaning,
    object: &StoredObject,
    revision: i64,
    resource: &Resource,
    encoding: Encoding,
    show: Show,
) -> Result<Bytes> {
    if resource.kind.served_as_stored() && encoding.target == Target::Object && encoding.media != MediaType::Protobuf {
        let mut out = begin(meaning.name(), object.json().len());
        object.write_json_at(&mut out, revision);
        out.extend_from_slice(b"}\n");
        return Ok(out.into());
    }
    let body = encode::one(resource, object, revision, encoding, show)?;
    Ok(wrap(meaning.name(), &body, encoding))
}

/// A bookmark: every event up to `revision` has been told.
pub(crate) fn bookmark(resource: &Resource, revision: i64, initial_end: bool, encoding: Encoding) -> Bytes {
    let kind = resource.kind;
    let mut object = Object::new(&kind.api_version(), kind.kind, kind.ty);
    object.set_resource_version(revision);
    if initial_end {
        object.set_annotation("k8s.io/initial-events-end", "true");
    }
    let body = encode::bookmark(resource, object, encoding);
    wrap("BOOKMARK", &body, encoding)
}

/// The failure that ends a watch.
pub(crate) fn error(status: &api::status::Status, encoding: Encoding) -> Bytes {
    let json = status.to_json();
    if encoding.media != MediaType::Protobuf {
        return wrap("ERROR", &json, encoding);
    }
    wrap("ERROR", &encode::status_protobuf(&json), encoding)
}

fn begin(name: &str, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room + 96);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out
}

fn wrap(name: &str, body: &[u8], encoding: Encoding) -> Bytes {
    if encoding.media == MediaType::Protobuf {
        return api::protobuf::watch_frame(name, body).into();
    }
    let mut out = begin(name, body.len());
    out.extend_from_slice(body);
    out.extend_from_slice(b"}\n");
    out.into()
}
