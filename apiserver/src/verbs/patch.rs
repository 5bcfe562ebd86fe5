//! PATCH in its four forms: JSON patch, merge patch, strategic merge patch, server-side apply.

use api::{
    Object,
    json::{self, Decoded, Problem},
    patch,
    status::{Grouped, Status},
    validation::{Errors, Path},
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::StatusCode;

use crate::{
    body::{self, Expected},
    error::{Error, Result},
    negotiation,
    options::{FieldValidation, WriteOptions, parse_revision},
    ownership,
    pipeline::{Call, Draft, Live, Presence, Written, write},
};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// The media type of server-side apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

type Apply = fn(&Object, &[u8]) -> Result<Decoded, patch::Error>;

pub(crate) async fn patch(call: &Call, body: Body) -> Result<Response> {
    let written = patched(call, body).await?;
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(call.answer_written(code, written))
}

async fn patched(call: &Call, body: Body) -> Result<Written> {
    let options = WriteOptions::parse(call.query(), "PatchOptions")?;
    let apply: Apply = match negotiation::body_type(&call.parts.headers).as_str() {
        JSON => patch::json_patch,
        MERGE => patch::merge_patch,
        STRATEGIC if call.resource.kind.custom.is_none() => patch::strategic_merge_patch,
        APPLY => return server_side_apply(call, body, &options).await,
        _ if call.resource.kind.custom.is_some() => {
            return Err(Status::unsupported_media_type(&[JSON, MERGE, APPLY]).into());
        }
        _ => return Err(Status::unsupported_media_type(&[JSON, MERGE, APPLY, STRATEGIC]).into()),
    };
    if options.force.is_some() {
        return Err(invalid_options("force", "may not be specified for non-apply patch", false));
    }
    let bytes = body::read(body).await?;
    let draft = |live: Option<&Live>| {
        let live = live.ok_or_else(|| call.not_found())?;
        let object = apply_to(call, &live.object, &bytes, apply, &options)?;
        let revision = parse_revision(object.resource_version())?;
        Ok(Draft { object, owned: false, revision })
    };
    write(call, &call.info.name, Presence::Present, &options, &draft).await
}

/// The object a patch makes of another one, with defaults.
pub(crate) fn apply_to(
    call: &Call,
    object: &Object,
    bytes: &Bytes,
    apply: Apply,
    options: &WriteOptions,
) -> Result<Object> {
    let Decoded { object: mut patched, problems } = apply(object, bytes).map_err(|error| refused(&error, bytes))?;
    if patched.kind != object.kind || patched.api_version != object.api_version {
        return Err(Status::bad_request("a patch may not change apiVersion or kind").into());
    }
    let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
    match options.field_validation {
        FieldValidation::Strict if !problems.is_empty() => {
            return Err(invalid_patch(bytes, &format!("strict decoding error: {}", problems.join(", "))));
        }
        FieldValidation::Warn => problems.into_iter().for_each(|problem| call.warn(problem)),
        FieldValidation::Strict | FieldValidation::Ignore => {}
    }
    call.resource.kind.default(&mut patched);
    Ok(patched)
}

/// The patch function for the request's content type, for subresources whose body is of another kind.
pub(crate) fn form(call: &Call) -> Result<Apply> {
    match negotiation::body_type(&call.parts.headers).as_str() {
        JSON => Ok(patch::json_patch),
        MERGE => Ok(patch::merge_patch),
        STRATEGIC => Ok(patch::strategic_merge_patch),
        _ => Err(Status::unsupported_media_type(&[JSON, MERGE, STRATEGIC]).into()),
    }
}

fn refused(error: &patch::Error, bytes: &[u8]) -> Error {
    match error {
        patch::Error::Syntax(_) | patch::Error::Malformed(_) => Status::bad_request(error.to_string()).into(),
        patch::Error::TooManyOperations(_) => {
            let message = format!("Request entity too large: {error}");
            Status::failure(api::status::Reason::RequestEntityTooLarge, message).into()
        }
        patch::Error::Inapplicable(_) => Status::rejected().into(),
        patch::Error::Result(_) => invalid_patch(bytes, &error.to_string()),
    }
}

fn invalid_patch(bytes: &[u8], why: &str) -> Error {
    let mut errors = Errors::default();
    errors.invalid(&Path::Root.field("patch"), String::from_utf8_lossy(bytes).into_owned(), why);
    Status::invalid(Grouped::new("", ""), "", &errors).into()
}

fn invalid_options(field: &str, why: &str, required: bool) -> Error {
    let mut errors = Errors::default();
    let path = Path::Root.field(field);
    if required {
        errors.required(&path, why)
    } else {
        errors.forbidden(&path, why)
    }
    Status::invalid(Grouped::new("meta.k8s.io", "PatchOptions"), "", &errors).into()
}

/// Decodes what is applied, zeros too, for the manager owns what was written. A field that the schema lacks is refused
/// whatever the client thinks of such fields: nobody could own it.
fn applied_object(call: &Call, json: &[u8], expected: &Expected<'_>, validation: FieldValidation) -> Result<Object> {
    let kind = call.resource.kind;
    let meta = json::peek_type_meta(json).map_err(|error| Status::bad_request(error.to_string()))?;
    if *meta.api_version != *kind.api_version() {
        let (given, own) = (&meta.api_version, kind.api_version());
        let message =
            format!("Incorrect version specified in apply patch. Specified patch version: {given}, expected: {own}");
        return Err(Status::bad_request(message).into());
    }
    if meta.kind.is_empty() {
        return Err(Status::bad_request("kind must be given in a server-side apply").into());
    }
    body::check_kind(&meta.api_version, &meta.kind, expected)?;
    let keep = json::Options { check: true, keep_zeros: true };
    let Decoded { object, problems } =
        json::decode(kind.ty, json, keep).map_err(|error| Status::bad_request(error.to_string()))?;
    let mut unknown = problems.iter().filter_map(|problem| match problem {
        Problem::Unknown(path) => Some(format!(".{path}: field not declared in schema")),
        Problem::Duplicate(_) => None,
    });
    if let Some(first) = unknown.next() {
        let rest: Vec<String> = unknown.collect();
        let all = if rest.is_empty() { first } else { format!("errors:\n  {first}\n  {}", rest.join("\n  ")) };
        let place =
            format!("{}/{}; {}/{}, Kind={}", call.namespace(), object.name(), kind.group, kind.version, kind.kind);
        return Err(Status::unknown(format!("failed to create typed patch object ({place}): {all}")).into());
    }
    let repeated: Vec<String> = problems.iter().map(Problem::to_string).collect();
    match validation {
        FieldValidation::Strict if !repeated.is_empty() => {
            let message = format!("error strict decoding YAML: {}", repeated.join(", "));
            return Err(Status::bad_request(message).into());
        }
        FieldValidation::Warn => repeated.into_iter().for_each(|problem| call.warn(problem)),
        FieldValidation::Strict | FieldValidation::Ignore => {}
    }
    Ok(object)
}

async fn server_side_apply(call: &Call, body: Body, options: &WriteOptions) -> Result<Written> {
    if options.field_manager.is_empty() {
        return Err(invalid_options("fieldManager", "is required for apply patch", true));
    }
    let kind = call.resource.kind;
    let json = body::yaml(&body::read(body).await?)?;
    let expected = Expected::of(kind);
    let mut applied = applied_object(call, &json, &expected, options.field_validation)?;
    super::check_namespace(call, &mut applied)?;
    let name = call.info.name.as_str();
    if !applied.name().is_empty() && applied.name() != name {
        let own = applied.name();
        return Err(Status::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({name})"
        ))
        .into());
    }
    if applied.at("metadata.managedFields").is_some() {
        return Err(Status::bad_request("metadata.managedFields must be nil").into());
    }
    applied.set("metadata.name", name);
    if !call.namespace().is_empty() {
        applied.set("metadata.namespace", call.namespace());
    }
    let revision = parse_revision(applied.resource_version())?.filter(|revision| *revision > 0);
    let draft = |live: Option<&Live>| {
        if live.is_none() && !applied.uid().is_empty() {
            let uid = applied.uid();
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(kind.resource(), name, &why).into());
        }
        if let Some(live) = live {
            super::update::check_identity(call, &applied, live)?;
        }
        let object = ownership::apply(call, live, &applied, options)?;
        Ok(Draft { object, owned: true, revision })
    };
    let presence = if call.subresource.is_some() { Presence::Present } else { Presence::Either };
    write(call, name, presence, options, &draft).await
}
