//! `finalize`: who still holds an object whose deletion has begun.

use api::status::Status;
use axum::{body::Body, response::Response};
use http::StatusCode;

use crate::{
    error::Result,
    options::{WriteOptions, parse_revision},
    pipeline::{Call, Draft, Live, Presence, write},
    verbs,
};

const FINALIZERS: &str = "spec.finalizers";

pub(super) async fn update(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "UpdateOptions")?;
    let wanted = verbs::decode(call, body, &options).await?;
    if !wanted.name().is_empty() && wanted.name() != call.info.name {
        return Err(Status::bad_request("the name of the object does not match the name on the URL").into());
    }
    let revision = parse_revision(wanted.resource_version())?.filter(|revision| *revision > 0);
    let draft = |live: Option<&Live>| {
        let mut object = live.ok_or_else(|| call.not_found())?.object.clone();
        match wanted.at(FINALIZERS) {
            Some(finalizers) => object.set(FINALIZERS, finalizers.clone()),
            None => drop(object.body.remove(FINALIZERS)),
        }
        Ok(Draft { object, owned: false, revision })
    };
    let written = write(call, &call.info.name, Presence::Present, &options, &draft).await?;
    Ok(call.answer(StatusCode::OK, written.object))
}
