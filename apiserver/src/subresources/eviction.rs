//! `eviction`: a deletion that asks first. The disruption budget of the pod may object.

use api::{Object, status::Status};
use axum::{body::Body, response::Response};
use jiff::Timestamp;

use super::expected;
use crate::{
    body::Expected,
    error::{Result, status_response},
    options::{DeleteOptions, FieldValidation, WriteOptions},
    pipeline::Call,
    verbs::{self, delete},
};

mod budget;

pub(super) async fn create(call: &Call, body: Body) -> Result<Response> {
    let write = WriteOptions::parse(call.query(), "CreateOptions")?;
    let Some(subresource) = call.subresource else { return Err(Status::no_such_resource().into()) };
    // kubectl up to 1.21 drains nodes with it.
    let expected = Expected { older: "v1beta1", ..expected(subresource)? };
    let eviction = verbs::decode_as(call, body, &expected, FieldValidation::Ignore).await?;
    if !eviction.name().is_empty() && eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let json: serde_json::Value = serde_json::from_slice(&api::json::encode(&eviction)).unwrap_or_default();
    let mut options = match json.get("deleteOptions") {
        Some(options) => DeleteOptions::parse("", Some(options))?,
        None => DeleteOptions::default(),
    };
    options.dry_run |= write.dry_run;
    let now = call.surroundings().now();
    options.note = Some((note, now));
    let pod = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?.object;
    if budget::protects(&pod) {
        budget::spend(call, &pod, options.dry_run).await?;
        // What was spent was spent for this pod, not for the next one of its name.
        options.preconditions.uid.get_or_insert_with(|| pod.uid().to_owned());
    }
    delete::one(call, &call.info.name, &options).await?;
    Ok(status_response(&Status::created()))
}

/// Says on the pod that it did not end by itself: whoever counts failures leaves this one out.
fn note(pod: &mut Object, now: Timestamp) {
    let status = pod.body.struct_at("status");
    let Some(mut condition) = status.new_item("conditions") else { return };
    condition.set("type", "DisruptionTarget");
    condition.set("status", "True");
    condition.set("lastTransitionTime", api::time::format(now));
    condition.set("reason", "EvictionByEvictionAPI");
    condition.set("message", "Eviction API: evicting");
    let conditions = status.list_at("conditions");
    conditions.retain(|known| known.str_at("type") != "DisruptionTarget");
    conditions.push(condition.into());
}
