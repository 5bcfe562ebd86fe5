//! PUT: an object becomes what the client says; the part of it that the URL names.

use api::{
    Object,
    status::Status,
    validation::{Errors, Path, Value},
};
use axum::{body::Body, response::Response};
use http::StatusCode;

use super::{check_namespace, decode};
use crate::{
    error::Result,
    options::{WriteOptions, parse_revision},
    pipeline::{Call, Draft, Live, Presence, write},
};

pub(crate) async fn update(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "UpdateOptions")?;
    let mut object = decode(call, body, &options).await?;
    check_namespace(call, &mut object)?;
    check_name(call, &mut object)?;
    call.resource.kind.default(&mut object);
    let revision = parse_revision(object.resource_version())?.filter(|revision| *revision > 0);
    let draft = |live: Option<&Live>| {
        if let Some(live) = live {
            check_identity(call, &object, live)?;
            if revision.is_none() && !call.resource.kind.unconditional_update {
                return Err(revision_required(call));
            }
        }
        Ok(Draft { object: object.clone(), owned: false, revision })
    };
    let may_create = call.resource.kind.create_on_update && call.subresource.is_none();
    let presence = if may_create { Presence::Either } else { Presence::Present };
    let written = write(call, &call.info.name, presence, &options, &draft).await?;
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(call.answer_written(code, written))
}

/// The body's name must be the URL's; without a name it is taken from there, as is the namespace.
fn check_name(call: &Call, object: &mut Object) -> Result<()> {
    let (own, url) = (object.name(), call.info.name.as_str());
    if !own.is_empty() && own != url {
        let message = format!("the name of the object ({own}) does not match the name on the URL ({url})");
        return Err(Status::bad_request(message).into());
    }
    object.set("metadata.name", url);
    if !call.namespace().is_empty() {
        object.set("metadata.namespace", call.namespace());
    }
    Ok(())
}

/// A body that carries another object's identity is meant for another object.
pub(super) fn check_identity(call: &Call, object: &Object, live: &Live) -> Result<()> {
    let (own, actual) = (object.uid(), live.object.uid());
    if own.is_empty() || own == actual {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {own}, UID in object meta: {actual}");
    Err(Status::conflict(call.resource.kind.resource(), &call.info.name, &why).into())
}

fn revision_required(call: &Call) -> crate::error::Error {
    let mut errors = Errors::default();
    let path = Path::Root.field("metadata");
    errors.invalid(&path.field("resourceVersion"), Value::text("0x0"), "must be specified for an update");
    Status::invalid(call.resource.kind.grouped_kind(), &call.info.name, &errors).into()
}
