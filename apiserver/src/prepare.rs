//! What the server itself sets on an object before it is stored, and whether the result may be stored.

use std::collections::BTreeSet;

use api::{Node, Object, status::Status, validation::Errors};

use crate::{error::Result, pipeline::Call, random};

/// Metadata that clients may write in vain: only the server sets it.
const SERVER_SET: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"];

/// Leaves each owner once, and tells the client if one stood there twice.
pub(crate) fn distinct_owners(call: &Call, object: &mut Object, when: &str) {
    let owners = object.body.items_at("metadata.ownerReferences");
    let repeated = |(at, owner): (usize, &Node)| owners[..at].contains(owner).then(|| owner.str_at("uid").to_owned());
    let uids: BTreeSet<String> = owners.iter().enumerate().filter_map(repeated).collect();
    if uids.is_empty() {
        return;
    }
    let mut distinct: Vec<Node> = Vec::new();
    for owner in owners {
        if !distinct.contains(owner) {
            distinct.push(owner.clone());
        }
    }
    *object.body.list_at("metadata.ownerReferences") = distinct;
    let uids = Vec::from_iter(uids).join(" ");
    call.warn(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: [{uids}]"
    ));
}

/// Makes a draft a new object.
pub(crate) fn create(call: &Call, name: &str, object: &mut Object) {
    let metadata = object.metadata_mut();
    for field in SERVER_SET {
        metadata.remove(field);
    }
    if !name.is_empty() {
        metadata.set("name", name);
    }
    if !call.namespace().is_empty() {
        metadata.set("namespace", call.namespace());
    }
    metadata.set("uid", random::uuid(call.surroundings()));
    metadata.set("creationTimestamp", api::time::format(call.surroundings().now()));
    call.resource.kind.prepare_for_create(object);
}

/// Makes a draft the successor of an object: what the server set stays, and the other half (status for the main
/// resource, the rest for the status) does too.
pub(crate) fn update(call: &Call, object: &mut Object, old: &Object) {
    for field in SERVER_SET {
        // A client may leave these out; another uid or creation time is an error that validation reports.
        let given = matches!(field, "uid" | "creationTimestamp")
            && object.metadata().is_some_and(|metadata| !metadata.str_at(field).is_empty());
        if given {
            continue;
        }
        match old.metadata().and_then(|metadata| metadata.get(field)).cloned() {
            Some(value) => object.metadata_mut().set(field, value),
            None => drop(object.metadata_mut().remove(field)),
        }
    }
    match call.info.subresource.as_str() {
        "" | "scale" => call.resource.kind.prepare_for_update(object, old),
        "status" => call.resource.kind.prepare_for_status_update(object, old),
        part => call.resource.kind.prepare_for_part_update(part, object, old),
    }
}

/// Checks an object, and the step from the old one.
pub(crate) fn validate(call: &Call, object: &Object, old: Option<&Object>) -> Result<()> {
    let kind = call.resource.kind;
    let errors = match (old, call.info.subresource.as_str()) {
        (None, _) => kind.validate(object),
        (Some(old), "" | "scale") => kind.validate_update(object, old),
        (Some(old), "status") => kind.validate_status_update(object, old),
        (Some(old), part) if kind.part(part).is_some() => kind.validate_part_update(part, object, old),
        _ => Errors::default(),
    };
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(kind.grouped_kind(), object.name(), &errors).into())
}

/// True when nothing holds an object any longer whose deletion has begun.
pub(crate) fn is_released(call: &Call, object: &Object) -> bool {
    let grace = object.body.i64_at("metadata.deletionGracePeriodSeconds").unwrap_or_default();
    object.is_deleting() && grace == 0 && object.finalizers().next().is_none() && !(call.resource.kind.held)(object)
}
