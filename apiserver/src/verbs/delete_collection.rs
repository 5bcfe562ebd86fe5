//! DELETE of a collection: every object that is selected, each by itself.

use api::{status::Reason, stored::StoredObject};
use axum::{body::Body, response::Response};
use futures_util::future::try_join_all;
use http::StatusCode;

use super::delete;
use crate::{
    encode::{self, Show},
    error::Result,
    options::{DeleteOptions, ListOptions},
    pipeline::{Call, respond},
    storage::read::Selection,
};

const AT_ONCE: usize = 8;

pub(super) async fn delete_collection(call: &Call, body: Body) -> Result<Response> {
    let list = ListOptions::parse(call.query(), false)?;
    let options = delete::options(call, body).await?;
    let selection = Selection::parse(&call.resource, &list)?;
    let page = call.server.storage.list(&call.resource, call.namespace(), &list, &selection).await?;
    for some in page.objects.chunks(AT_ONCE) {
        try_join_all(some.iter().map(|object| one(call, object, &options))).await?;
    }
    let (body, _) = encode::list(&call.resource, page, call.encoding, Show::default(), false)?;
    Ok(respond(StatusCode::OK, call.encoding, body))
}

async fn one(call: &Call, object: &StoredObject, options: &DeleteOptions) -> Result<()> {
    let header = object.header();
    match delete::one_in(call, &header.namespace, &header.name, options).await {
        // Somebody else deleted it meanwhile.
        Err(error) if error.0.reason == Some(Reason::NotFound) => Ok(()),
        deleted => deleted.map(drop),
    }
}
