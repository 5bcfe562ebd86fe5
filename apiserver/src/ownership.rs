//! Field ownership of a write: who the manager is, and what `metadata.managedFields` says afterwards.

use api::{
    Object,
    managed_fields::{self, ApplyError, Writer},
    status::Status,
};
use http::header;

use crate::{
    error::{Error, Result},
    options::WriteOptions,
    pipeline::{Call, Live},
};

const NAME: usize = 128;

/// Records what the manager changed. A write that changes nothing leaves every entry as it is.
pub(crate) fn update(call: &Call, live: Option<&Live>, object: &mut Object, options: &WriteOptions) {
    with_writer(call, options, |writer| {
        managed_fields::update(writer, live.map(|live| &live.object), object);
    });
}

/// The live object with a configuration applied to it, defaults included.
pub(crate) fn apply(call: &Call, live: Option<&Live>, config: &Object, options: &WriteOptions) -> Result<Object> {
    let applied = with_writer(call, options, |writer| {
        managed_fields::apply(writer, options.force == Some(true), live.map(|live| &live.object), config)
    });
    let mut object = applied.map_err(refused)?.object;
    call.resource.kind.default(&mut object);
    Ok(object)
}

fn with_writer<T>(call: &Call, options: &WriteOptions, act: impl FnOnce(&Writer<'_>) -> T) -> T {
    let kind = call.resource.kind;
    let manager = manager(call, options);
    let (api_version, now) = (kind.api_version(), api::time::format(call.surroundings().now()));
    let subresource = call.info.subresource.as_str();
    act(&Writer {
        manager: &manager,
        api_version: &api_version,
        subresource,
        now: &now,
        ignored: kind.reset_fields(subresource),
    })
}

/// The named manager, or the program that calls.
fn manager(call: &Call, options: &WriteOptions) -> String {
    if !options.field_manager.is_empty() {
        return options.field_manager.clone();
    }
    let agent = call.parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let name: String = agent.split('/').next().unwrap_or_default().chars().take(NAME).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

fn refused(error: ApplyError) -> Error {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let pairs: Vec<(String, String)> =
                conflicts.0.into_iter().map(|conflict| (conflict.manager, conflict.field)).collect();
            Status::apply_conflicts(&pairs).into()
        }
        ApplyError::ManagedFields | ApplyError::Duplicate(_) => Status::bad_request(error.to_string()).into(),
    }
}
