//! GET of one object.

use axum::response::Response;
use http::StatusCode;

use crate::{
    answer,
    encode::{self, Raw, Show},
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
    let resource = &call.resource;
    let row = view.get(resource.key(call.namespace(), &call.info.name).as_bytes());
    let row = row.ok_or_else(|| call.not_found())?;
    let copied = encode::is_copied(resource, call.encoding) && !resource.encrypted;
    let body = match Raw::of(&row.value, row.mod_revision).filter(|_| copied) {
        Some(raw) => raw.object(),
        None => {
            let stored = storage.decode(resource, &row)?;
            encode::one(resource, &stored, stored.revision(), call.encoding, show)?
        }
    };
    Ok(answer::whole(StatusCode::OK, call.encoding, body, &call.parts.headers))
}
