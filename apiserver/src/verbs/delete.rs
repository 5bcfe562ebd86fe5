//! DELETE: at once, gracefully, or when the last finalizer is gone.

use api::{Node, Object, status::Status};
use axum::{body::Body, response::Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use crate::{
    admission::{self, Change, Operation},
    body, claims,
    error::{Error, Result, status_response},
    negotiation::{self, MediaType},
    options::{DeleteOptions, Preconditions, Propagation},
    pipeline::{Attempt, Call, Live},
    prepare,
    storage::{Commit, Committed, Expected},
};

const ATTEMPTS: u32 = 6;

/// What a deletion did.
pub(crate) enum Deleted {
    /// The object is gone.
    Gone(Object),
    /// The object is still there, and is to go.
    Pending(Object),
}

pub(super) async fn delete(call: &Call, body: Body) -> Result<Response> {
    if let Some(why) = (call.resource.kind.undeletable)(&call.info.name) {
        return Err(Status::forbidden(call.resource.kind.resource(), &call.info.name, why).into());
    }
    let options = options(call, body).await?;
    match one(call, &call.info.name, &options).await? {
        Deleted::Pending(object) => Ok(call.answer(StatusCode::OK, object)),
        Deleted::Gone(object) if call.resource.kind.returns_deleted => Ok(call.answer(StatusCode::OK, object)),
        Deleted::Gone(object) => {
            let kind = call.resource.kind;
            Ok(status_response(&Status::deleted(kind.resource(), object.name(), object.uid())))
        }
    }
}

/// The options of a deletion, from the body if there is one.
pub(crate) async fn options(call: &Call, body: Body) -> Result<DeleteOptions> {
    let bytes = body::read(body).await?;
    if bytes.is_empty() {
        return DeleteOptions::parse(call.query(), None);
    }
    let media = negotiation::body_media(&call.parts.headers);
    let json = match media.ok_or_else(|| Status::unsupported_media_type(&body::ACCEPTED))? {
        MediaType::Json => bytes.to_vec(),
        MediaType::Yaml => body::yaml(&bytes)?,
        MediaType::Protobuf => {
            let object = api::protobuf::decode(&bytes).map_err(|error| Status::bad_request(error.to_string()))?;
            api::json::encode(&object)
        }
    };
    let value = serde_json::from_slice(&json).map_err(|error| Status::bad_request(error.to_string()))?;
    DeleteOptions::parse(call.query(), Some(&value))
}

/// Deletes one object of the request's namespace.
pub(crate) async fn one(call: &Call, name: &str, options: &DeleteOptions) -> Result<Deleted> {
    one_in(call, call.namespace(), name, options).await
}

/// Deletes one object; starts again from the latest state when what the local replica has does not hold.
pub(crate) async fn one_in(call: &Call, namespace: &str, name: &str, options: &DeleteOptions) -> Result<Deleted> {
    let mut fresh = false;
    for round in 1.. {
        let attempt = match call.load_in(namespace, name, fresh).await? {
            Some(live) => attempt(call, namespace, name, live, options).await,
            None => Err(Status::not_found(call.resource.kind.resource(), name).into()),
        };
        match attempt {
            Ok(Attempt::Done(deleted)) => return Ok(deleted),
            Ok(Attempt::Overtaken(error)) if round >= ATTEMPTS => return Err(error),
            Ok(Attempt::Overtaken(_)) => fresh = true,
            Ok(Attempt::Unknown(error)) => return Err(error),
            Err(error) if fresh => return Err(error),
            Err(_) => fresh = true,
        }
    }
    Err(Status::internal("a deletion did not end").into())
}

async fn attempt(
    call: &Call,
    namespace: &str,
    name: &str,
    live: Live,
    options: &DeleteOptions,
) -> Result<Attempt<Deleted>> {
    let kind = call.resource.kind;
    check(call, &live, &options.preconditions)?;
    admission::delete(&Change { namespace, ..call.change(name, Operation::Delete, Some(&live.object)) }).await?;
    let mut object = live.object.clone();
    mark(call, &mut object, options);
    let gone = prepare::is_released(call, &object);
    let value = crate::encode::value(kind, &mut object);
    if !gone && live.json == value.slice(1..) {
        object.set_resource_version(live.revision);
        return Ok(Attempt::Done(Deleted::Pending(object)));
    }
    let (claim, release) = claims::difference(kind, Some(&live.object), (!gone).then_some(&object));
    let key = call.resource.key(namespace, name);
    let commit = Commit {
        resource: &call.resource,
        key: &key,
        expected: Expected::Revision(live.revision),
        value: (!gone).then_some(&value),
        claim: &claim,
        release: &release,
        also: &[],
        fence: call.fence(),
    };
    Ok(match call.server.storage.commit_or_rehearse(commit, options.dry_run).await {
        Ok(Committed::Done(revision)) => {
            object.set_resource_version(revision);
            Attempt::Done(if gone { Deleted::Gone(object) } else { Deleted::Pending(object) })
        }
        Ok(Committed::Changed | Committed::Claimed | Committed::Outdated) => {
            Attempt::Overtaken(Status::modified(kind.resource(), name).into())
        }
        Err(error) => Attempt::Unknown(error),
    })
}

/// Marks an object as one that is to go: when, and what has to happen before.
fn mark(call: &Call, object: &mut Object, options: &DeleteOptions) {
    let kind = call.resource.kind;
    set_finalizers(object, kind.orphan_by_default, options.propagation);
    let grace = kind.grace_seconds(object, options.grace_period_seconds).max(0);
    if object.is_deleting() {
        // A deletion that has begun can only be hurried, and only by who names a time.
        if options.grace_period_seconds.is_some() {
            hurry(object, grace, call.surroundings().now());
        }
        return;
    }
    set_end(object, call.surroundings().now(), grace);
    if object.generation() > 0 {
        object.set("metadata.generation", object.generation() + 1);
    }
    (kind.on_delete)(object);
    if let Some((note, now)) = options.note {
        note(object, now);
    }
}

/// Shortens the time an object has to end, which began when it was first deleted.
fn hurry(object: &mut Object, grace: i64, now: Timestamp) {
    let before = object.body.i64_at("metadata.deletionGracePeriodSeconds").unwrap_or_default();
    let end: Option<Timestamp> = object.str_at("metadata.deletionTimestamp").parse().ok();
    let began = end.and_then(|end| end.checked_sub(SignedDuration::from_secs(before)).ok());
    if grace < before {
        set_end(object, began.unwrap_or(now), grace);
    }
}

fn set_end(object: &mut Object, began: Timestamp, grace: i64) {
    let end = began.checked_add(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX);
    object.set("metadata.deletionTimestamp", api::time::format(end));
    object.set("metadata.deletionGracePeriodSeconds", grace);
}

/// Orphaning and foreground deletion are the garbage collector's work, which a finalizer waits for.
fn set_finalizers(object: &mut Object, orphan_by_default: bool, propagation: Option<Propagation>) {
    let wanted = match propagation {
        Some(Propagation::Orphan) => Some("orphan"),
        Some(Propagation::Foreground) => Some("foregroundDeletion"),
        Some(Propagation::Background) => None,
        None if object.finalizers().any(|name| matches!(name, "orphan" | "foregroundDeletion")) => return,
        None => orphan_by_default.then_some("orphan"),
    };
    let mut finalizers: Vec<String> = object
        .finalizers()
        .filter(|name| !matches!(*name, "orphan" | "foregroundDeletion"))
        .map(str::to_owned)
        .collect();
    finalizers.extend(wanted.map(str::to_owned));
    if finalizers.is_empty() {
        object.metadata_mut().remove("finalizers");
    } else {
        object.set("metadata.finalizers", Node::from(finalizers));
    }
}

fn check(call: &Call, live: &Live, preconditions: &Preconditions) -> Result<()> {
    let kind = call.resource.kind.grouped_kind();
    let name = live.object.name();
    if let Some(uid) = &preconditions.uid
        && uid != live.object.uid()
    {
        return Err(Status::uid_mismatch(kind, name, uid, live.object.uid()).into());
    }
    if let Some(revision) = &preconditions.resource_version
        && *revision != live.revision.to_string()
    {
        return Err(Error::from(Status::revision_mismatch(kind, name, revision, &live.revision.to_string())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_decides_which_finalizer_waits() {
        let cases = [
            (vec![], false, None, vec![]),
            (vec![], true, None, vec!["orphan"]),
            (vec!["a/b"], false, Some(Propagation::Foreground), vec!["a/b", "foregroundDeletion"]),
            (vec!["orphan"], true, Some(Propagation::Background), vec![]),
            (vec!["foregroundDeletion"], false, None, vec!["foregroundDeletion"]),
            (vec!["foregroundDeletion"], false, Some(Propagation::Orphan), vec!["orphan"]),
        ];
        for (before, by_default, propagation, after) in cases {
            let mut object = Object::of("v1", "ConfigMap").unwrap();
            object.set("metadata.finalizers", before);
            set_finalizers(&mut object, by_default, propagation);
            assert_eq!(object.finalizers().collect::<Vec<_>>(), after);
        }
    }
}
