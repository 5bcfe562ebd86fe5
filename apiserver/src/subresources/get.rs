//! Reading a part that has the form of the object.

use axum::response::Response;
use http::StatusCode;

use crate::{error::Result, pipeline::Call};

pub(super) async fn get(call: &Call) -> Result<Response> {
    let mut live = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?;
    live.object.set_resource_version(live.revision);
    Ok(call.answer(StatusCode::OK, live.object))
}
