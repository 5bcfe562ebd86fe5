//! GET of a collection.

use axum::response::Response;
use http::StatusCode;

use crate::{
    answer,
    encode::{self, Show},
    error::Result,
    negotiation,
    options::ListOptions,
    pipeline::{Call, respond},
    storage::read::Selection,
};

pub(super) async fn list(call: &Call) -> Result<Response> {
    let options = ListOptions::parse(call.query(), false)?;
    let show = Show::parse(&options.include_object, call.encoding)?;
    let selection = Selection::parse(&call.resource, &options)?;
    let page = call.server.storage.list(&call.resource, call.namespace(), &options, &selection).await?;
    let gzip = negotiation::accepts_gzip(&call.parts.headers);
    let (body, compressed) = encode::list(&call.resource, page, call.encoding, show, gzip)?;
    let response = respond(StatusCode::OK, call.encoding, body);
    Ok(if compressed { answer::compressed(response) } else { response })
}
