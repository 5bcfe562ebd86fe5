//! GET of one object.

use axum::response::Response;
use http::StatusCode;

use crate::{
    encode::{self, Show},
    error::Result,
    options::ListOptions,
    pipeline::{Call, respond},
};

pub(super) async fn get(call: &Call) -> Result<Response> {
    let options = ListOptions::parse(call.query(), false)?;
    let show = Show::parse(&options.include_object)?;
    let storage = &call.server.storage;
    let view = storage.view_at_least(options.revision()?).await?;
    let found = storage.get_in(&view, &call.resource, call.namespace(), &call.info.name)?;
    let stored = found.ok_or_else(|| call.not_found())?;
    let body = encode::one(&call.resource, &stored, stored.revision(), call.encoding, show)?;
    Ok(respond(StatusCode::OK, call.encoding, body.into()))
}
