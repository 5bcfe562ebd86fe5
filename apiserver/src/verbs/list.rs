//! GET of a collection.

use axum::response::Response;
use http::StatusCode;

use crate::{
    answer,
    encode::{self, Raw, Show},
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
    let (storage, resource) = (&call.server.storage, &call.resource);
    let gzip = negotiation::accepts_gzip(&call.parts.headers);
    let (body, compressed) =
        if selection.is_everything() && !resource.encrypted && encode::is_copied(resource, call.encoding) {
            let rows = storage.rows(resource, call.namespace(), &options).await?;
            let raw = |row: &store::mvccpb::KeyValue| Raw::of(&row.value, row.mod_revision);
            match rows.rows.iter().map(raw).collect::<Option<Vec<_>>>() {
                Some(items) => encode::copied(resource, &rows.about, items, gzip),
                None => encode::list(resource, storage.read(resource, rows)?, call.encoding, show, gzip)?,
            }
        } else {
            let page = storage.list(resource, call.namespace(), &options, &selection).await?;
            encode::list(resource, page, call.encoding, show, gzip)?
        };
    let response = respond(StatusCode::OK, call.encoding, body);
    Ok(if compressed { answer::compressed(response) } else { response })
}
