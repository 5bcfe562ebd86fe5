//! `componentstatuses`: the health of the control plane's parts, as this server sees it when it is asked.

use api::{Object, status::Status, stored::StoredObject};
use axum::response::Response;
use http::StatusCode;

use crate::{
    encode::{self, Show},
    error::Result,
    options::ListOptions,
    pipeline::{Call, respond},
    storage::read::{About, Page, Selection},
};

/// The parts under upstream's names. Scheduler and controllers run in the master that leads: with a leader there are
/// both.
const COMPONENTS: [(&str, &str); 3] = [
    ("controller-manager", "no master leads"),
    ("etcd-0", "no leader of the store is known"),
    ("scheduler", "no master leads"),
];

pub(crate) fn get(call: &Call) -> Result<Response> {
    let options = ListOptions::parse(call.query(), false)?;
    let show = Show::parse(&options.include_object, call.encoding)?;
    let (revision, objects) = all(call)?;
    let found = objects.into_iter().find(|object| *object.header().name == *call.info.name);
    let found = found.ok_or_else(|| call.not_found())?;
    let body = encode::one(&call.resource, &found, revision, call.encoding, show)?;
    Ok(respond(StatusCode::OK, call.encoding, body.into()))
}

pub(crate) fn list(call: &Call) -> Result<Response> {
    let options = ListOptions::parse(call.query(), false)?;
    let show = Show::parse(&options.include_object, call.encoding)?;
    let selection = Selection::parse(&call.resource, &options)?;
    let (revision, mut objects) = all(call)?;
    objects.retain(|object| selection.matches(object));
    let page = Page { about: About { revision, next: String::new(), remaining: None }, objects };
    let (body, _) = encode::list(&call.resource, page, call.encoding, show, false)?;
    Ok(respond(StatusCode::OK, call.encoding, body))
}

/// All parts, with the revision that the local replica has.
fn all(call: &Call) -> Result<(i64, Vec<StoredObject>)> {
    let storage = &call.server.storage;
    let revision = storage.view().revision();
    let healthy = storage.store().leadership().borrow().leader.is_some();
    let make = |(name, trouble): &(&str, &str)| -> Result<StoredObject> {
        let kind = call.resource.kind;
        let mut object = Object::new(&kind.api_version(), kind.kind, kind.ty);
        object.set("metadata.name", *name);
        if let Some(mut condition) = object.body.new_item("conditions") {
            condition.set("type", "Healthy");
            condition.set("status", if healthy { "True" } else { "False" });
            condition.set("message", if healthy { "ok" } else { *trouble });
            object.body.list_at("conditions").push(condition.into());
        }
        Ok(StoredObject::parse(&api::stored::value(&mut object), revision, kind.field_paths)
            .map_err(Status::internal)?)
    };
    Ok((revision, COMPONENTS.iter().map(make).collect::<Result<_>>()?))
}
