//! GET of one object.

use axum::response::Response;
use http::StatusCode;

use crate::{
    answer,
    encode::{self, Show},
    error::Result,
    options::parse_revision,
    pipeline::Call,
    request_info::query_pairs,
};

pub(super) async fn get(call: &Call) -> Result<Response> {
    let asked = |option: &str| query_pairs(call.query()).find(|(key, _)| key == option).map(|(_, value)| value);
    let show = Show::parse(&asked("includeObject").unwrap_or_default(), call.encoding)?;
    let storage = &call.server.storage;
    let view = storage.view_at_least(parse_revision(&asked("resourceVersion").unwrap_or_default())?).await?;
    let found = storage.get_in(&view, &call.resource, call.namespace(), &call.info.name)?;
    let stored = found.ok_or_else(|| call.not_found())?;
    let body = encode::one(&call.resource, &stored, stored.revision(), call.encoding, show)?;
    Ok(answer::whole(StatusCode::OK, call.encoding, body, &call.parts.headers))
}
