//! What each verb wants, told to the [`crate::pipeline`]. One file a verb; none of them names a kind.

use std::sync::Arc;

use api::status::Status;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    body::{self, Expected},
    component_statuses, discovery,
    error::Result,
    health, openapi,
    options::{FieldValidation, WriteOptions},
    pipeline::Call,
    request_info::RequestInfo,
    reviews,
    server::Server,
    subresources,
    user::UserInfo,
    version,
};

mod create;
pub(crate) mod delete;
mod delete_collection;
mod get;
mod list;
pub(crate) mod patch;
pub(crate) mod update;
mod watch;

/// Serves a request for a resource.
pub(crate) async fn serve(call: &Call, body: Body) -> Result<Response> {
    let kind = call.resource.kind;
    if let Some(subresource) = call.subresource {
        if !subresource.verbs.contains(&call.info.verb) {
            return Err(Status::method_not_allowed().into());
        }
        return subresources::serve(call, subresource, body).await;
    }
    let on_object = call.info.verb == "create" && !call.info.name.is_empty();
    if on_object || !kind.verbs.contains(&call.info.verb) {
        return Err(Status::method_not_allowed().into());
    }
    match call.info.verb {
        "create" if !kind.stored => reviews::create(call, body).await,
        "get" if !kind.stored => component_statuses::get(call),
        "list" if !kind.stored => component_statuses::list(call),
        "create" => create::create(call, body).await,
        "get" => get::get(call).await,
        "list" => list::list(call).await,
        "watch" => watch::watch(call).await,
        "update" => update::update(call, body).await,
        "patch" => patch::patch(call, body).await,
        "delete" => delete::delete(call, body).await,
        "deletecollection" => delete_collection::delete_collection(call, body).await,
        _ => Err(Status::method_not_allowed().into()),
    }
}

/// Serves a path that is no resource.
pub(crate) async fn path(server: &Arc<Server>, info: &RequestInfo, parts: &Parts, _user: &UserInfo) -> Response {
    if !matches!(info.verb, "get" | "head") {
        return crate::error::Error::from(Status::method_not_allowed()).into_response();
    }
    let catalog = server.custom.catalog();
    let answer = health::path(server, info, parts)
        .or_else(|| version::path(info))
        .or_else(|| discovery::path(&catalog, info, parts))
        .or_else(|| openapi::path(&catalog, info, parts));
    match answer {
        Some(answer) => answer,
        None => page_not_found(),
    }
}

/// What a path gets that nobody serves.
pub(crate) fn page_not_found() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Reads and decodes a body of the resource's own kind, and passes on what was tolerated.
pub(crate) async fn decode(call: &Call, body: Body, options: &WriteOptions) -> Result<api::Object> {
    let kind = call.resource.kind;
    let expected = Expected::of(kind);
    decode_as(call, body, &expected, options.field_validation).await
}

/// Reads and decodes a body of another kind.
pub(crate) async fn decode_as(
    call: &Call,
    body: Body,
    expected: &Expected<'_>,
    validation: FieldValidation,
) -> Result<api::Object> {
    let bytes = body::read(body).await?;
    let (object, problems) = body::decode(&bytes, &call.parts.headers, expected, validation)?;
    problems.into_iter().for_each(|problem| call.warn(problem));
    Ok(object)
}

/// A body's namespace must be the URL's, if it has one. Where there are no namespaces it means nothing.
pub(crate) fn check_namespace(call: &Call, object: &mut api::Object) -> Result<()> {
    if !call.resource.kind.is_namespaced() {
        object.metadata_mut().remove("namespace");
        return Ok(());
    }
    if object.namespace().is_empty() || object.namespace() == call.namespace() {
        return Ok(());
    }
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    Err(Status::bad_request(message).into())
}
