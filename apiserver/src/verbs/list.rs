//! GET of a collection.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::{
    encode::{self, Show},
    error::Result,
    options::ListOptions,
    pipeline::{Call, respond},
    storage::read::Selection,
};

pub(super) async fn list(call: &Call) -> Result<Response> {
    let options = ListOptions::parse(call.query(), false)?;
    let show = Show::parse(&options.include_object)?;
    let selection = Selection::parse(&call.resource, &options)?;
    let page = call.server.storage.list(&call.resource, call.namespace(), &options, &selection).await?;
    let accepts = call.parts.headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let gzip = accepts.is_some_and(|accepts| accepts.split(',').any(|coding| coding.trim().starts_with("gzip")));
    let (body, compressed) = encode::list(&call.resource, page, call.encoding, show, gzip)?;
    let mut response = respond(StatusCode::OK, call.encoding, body);
    if compressed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(response)
}
