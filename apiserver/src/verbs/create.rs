//! POST: a new object, under its own name or a generated one.

use api::status::{Reason, Status};
use axum::{body::Body, response::Response};
use http::StatusCode;

use super::{check_namespace, decode};
use crate::{
    error::Result,
    options::WriteOptions,
    pipeline::{Call, Draft, Live, Presence, write},
    random,
};

/// How many generated names are tried.
const NAMES: usize = 8;
/// The part of a generated name that the client chooses.
const BASE: usize = 58;

pub(super) async fn create(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "CreateOptions")?;
    let mut object = decode(call, body, &options).await?;
    check_namespace(call, &mut object)?;
    if !object.resource_version().is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created").into());
    }
    call.resource.kind.default(&mut object);
    let name = object.name().to_owned();
    let base: String = object.str_at("metadata.generateName").chars().take(BASE).collect();
    let generated = name.is_empty() && !base.is_empty();
    let mut tries = 0;
    loop {
        let name = if generated { format!("{base}{}", random::suffix(call.surroundings())) } else { name.clone() };
        let draft = |_: Option<&Live>| {
            let mut object = object.clone();
            if generated {
                object.set("metadata.name", name.as_str());
            }
            Ok(Draft { object, owned: false, revision: None })
        };
        tries += 1;
        match write(call, &name, Presence::Absent, &options, &draft).await {
            Err(error) if generated && error.0.reason == Some(Reason::AlreadyExists) => {
                if tries == NAMES {
                    return Err(Status::no_unique_name(call.resource.kind.resource(), &name).into());
                }
            }
            written => return Ok(call.answer_written(StatusCode::CREATED, written?)),
        }
    }
}
