//! `scale`: how many, whatever the kind calls its fields.

use api::{
    Map, Node, Object,
    kind::ScaleFields,
    status::Status,
    validation::{Errors, Path},
};
use axum::{body::Body, response::Response};
use http::StatusCode;

use super::expected;
use crate::{
    body::{self, Expected},
    encode,
    error::{Error, Result},
    options::{WriteOptions, parse_revision},
    pipeline::{Call, Draft, Live, Presence, respond, write},
    verbs::{self, patch},
};

pub(super) async fn serve(call: &Call, body: Body) -> Result<Response> {
    let (Some(subresource), Some(fields)) = (call.subresource, &call.resource.kind.scale) else {
        return Err(Status::no_such_resource().into());
    };
    let expected = expected(subresource)?;
    match call.info.verb {
        "get" => {
            let live = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?;
            Ok(answer(call, &scale(&live.object, live.revision, &expected, fields)))
        }
        "update" => {
            let options = WriteOptions::parse(call.query(), "UpdateOptions")?;
            let wanted = verbs::decode_as(call, body, &expected, options.field_validation).await?;
            save(call, &options, &expected, fields, &|_| Ok(wanted.clone())).await
        }
        _ => {
            let options = WriteOptions::parse(call.query(), "PatchOptions")?;
            let apply = patch::form(call)?;
            let bytes = body::read(body).await?;
            let patched = |scale: &Object| {
                let decoded = apply(scale, &bytes).map_err(|error| Status::bad_request(error.to_string()))?;
                Ok(decoded.object)
            };
            save(call, &options, &expected, fields, &patched).await
        }
    }
}

async fn save(
    call: &Call,
    options: &WriteOptions,
    expected: &Expected<'_>,
    fields: &ScaleFields,
    wanted: &(dyn Fn(&Object) -> Result<Object> + Sync),
) -> Result<Response> {
    let draft = |live: Option<&Live>| {
        let live = live.ok_or_else(|| call.not_found())?;
        let wanted = wanted(&scale(&live.object, live.revision, expected, fields))?;
        let replicas = wanted.body.i64_at("spec.replicas").unwrap_or_default();
        if replicas < 0 {
            return Err(negative(&wanted, replicas, expected));
        }
        let mut object = live.object.clone();
        set_replicas(&mut object, fields, replicas);
        let revision = parse_revision(wanted.resource_version())?.filter(|revision| *revision > 0);
        Ok(Draft { object, owned: false, revision })
    };
    let written = write(call, &call.info.name, Presence::Present, options, &draft).await?;
    let revision = written.object.resource_version().parse().unwrap_or_default();
    Ok(answer(call, &scale(&written.object, revision, expected, fields)))
}

fn negative(wanted: &Object, replicas: i64, expected: &Expected<'_>) -> Error {
    let mut errors = Errors::default();
    let path = Path::Root.field("spec");
    errors.invalid(&path.field("replicas"), replicas, "must be greater than or equal to 0");
    let kind = api::status::Grouped::new(expected.group, expected.kind);
    Status::invalid(kind, wanted.name(), &errors).into()
}

/// The Scale of an object.
fn scale(object: &Object, revision: i64, expected: &Expected<'_>, fields: &ScaleFields) -> Object {
    let api_version = format!("{}/{}", expected.group, expected.version);
    let mut scale = Object::new(&api_version, expected.kind, expected.ty);
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let path = format!("metadata.{field}");
        if !object.str_at(&path).is_empty() {
            scale.set(&path, object.str_at(&path));
        }
    }
    scale.set_resource_version(revision);
    if let Some(replicas) = object.body.i64_at(fields.replicas) {
        scale.set("spec.replicas", replicas);
    }
    scale.set("status.replicas", object.body.i64_at(fields.status_replicas).unwrap_or_default());
    match object.at(fields.selector).filter(|_| !fields.selector.is_empty()) {
        // A custom resource has it as text.
        Some(Node::Str(selector)) => scale.set("status.selector", &**selector),
        Some(selector) => {
            let selector = api::selector::LabelSelector::from_object(selector).unwrap_or_default();
            scale.set("status.selector", selector.to_string());
        }
        None => {}
    }
    scale
}

/// Sets the wanted count, below maps that may not be there yet.
fn set_replicas(object: &mut Object, fields: &ScaleFields, replicas: i64) {
    let (mut path, name) = fields.replicas.rsplit_once('.').unwrap_or(("", fields.replicas));
    if object.body.ty().field(path.split('.').next().unwrap_or_default()).is_none() {
        // A schema that has no such field keeps no such value.
        return;
    }
    let mut place: Option<&mut Node> = None;
    while let Some(step) = path.split('.').next().filter(|step| !step.is_empty()) {
        path = path.get(step.len() + 1..).unwrap_or_default();
        let below = match place {
            None => object.body.entry(step),
            Some(Node::Struct(value)) => value.entry(step),
            Some(Node::Map(map)) => {
                if map.get(step).is_none() {
                    map.insert(step, Map::default());
                }
                match map.get_mut(step) {
                    Some(below) => below,
                    None => return,
                }
            }
            Some(_) => return,
        };
        place = Some(below);
    }
    match place {
        Some(Node::Struct(value)) => value.set(name, replicas),
        Some(Node::Map(map)) => drop(map.insert(name, replicas)),
        _ => {}
    }
}

fn answer(call: &Call, scale: &Object) -> Response {
    respond(StatusCode::OK, call.encoding, encode::body(scale, call.encoding).into())
}
