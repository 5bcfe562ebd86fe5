//! `eviction`: a deletion that asks first. Without disruption budgets nobody objects.

use api::status::Status;
use axum::{body::Body, response::Response};

use super::expected;
use crate::{
    error::{Result, status_response},
    options::{DeleteOptions, FieldValidation, WriteOptions},
    pipeline::Call,
    verbs::{self, delete},
};

pub(super) async fn create(call: &Call, body: Body) -> Result<Response> {
    let write = WriteOptions::parse(call.query(), "CreateOptions")?;
    let Some(subresource) = call.subresource else { return Err(Status::no_such_resource().into()) };
    let eviction = verbs::decode_as(call, body, &expected(subresource)?, FieldValidation::Ignore).await?;
    if !eviction.name().is_empty() && eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let json: serde_json::Value = serde_json::from_slice(&api::json::encode(&eviction)).unwrap_or_default();
    let mut options = match json.get("deleteOptions") {
        Some(options) => DeleteOptions::parse("", Some(options))?,
        None => DeleteOptions::default(),
    };
    options.dry_run |= write.dry_run;
    delete::one(call, &call.info.name, &options).await?;
    Ok(status_response(&Status::created()))
}
