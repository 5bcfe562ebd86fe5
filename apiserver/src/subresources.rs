//! Parts of an object with an address of their own.

use api::{kind::Subresource, status::Status};
use axum::{body::Body, response::Response};

use crate::{
    body::Expected,
    error::Result,
    pipeline::Call,
    verbs::{patch, update},
};

mod agent;
mod binding;
mod eviction;
mod get;
mod log;
mod proxy;
mod relay;
mod scale;
mod streaming;
mod token;

/// Serves a request for a part of an object.
pub(crate) async fn serve(call: &Call, subresource: &'static Subresource, body: Body) -> Result<Response> {
    match (subresource.name, call.info.verb) {
        ("scale", _) => scale::serve(call, body).await,
        ("log", "get") => log::get(call).await,
        ("binding", "create") => binding::create(call, body).await,
        ("eviction", "create") => eviction::create(call, body).await,
        ("token", "create") => token::create(call, body).await,
        ("exec" | "attach", _) => streaming::command(call, subresource.name).await,
        ("portforward", _) => streaming::port_forward(call).await,
        ("proxy", _) => proxy::serve(call, body).await,
        // The rest has the form of the object itself: which fields of it count is the kind's matter.
        (part, verb) if part == "status" || call.resource.kind.part(part).is_some() => match verb {
            "get" => get::get(call).await,
            "update" => update::update(call, body).await,
            "patch" => patch::patch(call, body).await,
            _ => Err(Status::method_not_allowed().into()),
        },
        _ => Err(Status::method_not_allowed().into()),
    }
}

/// What the body of a subresource with a kind of its own must be.
fn expected(subresource: &Subresource) -> Result<Expected<'_>> {
    let Subresource { group, version, kind, .. } = *subresource;
    let ty = api::schema::object_type(group, version, kind);
    let ty = ty.ok_or_else(|| Status::internal(format!("no type for {group}/{version} {kind}")))?;
    Ok(Expected { group, version, kind, ty, older: "" })
}
