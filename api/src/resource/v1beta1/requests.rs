//! Requests for devices as the first beta had them, in claims and in templates of claims: what is asked for stood beside
//! the request's name, not below `exactly`.

use crate::kind::copy_field;
use crate::node::{Node, Struct};
use crate::resource::v1::device_claim;

/// What is asked for.
const ASKED: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

/// Sets what requests leave out.
pub(super) fn defaults(spec: &mut Struct) {
    let Some(requests) = spec.at_mut("devices.requests").and_then(Node::as_list_mut) else { return };
    for request in requests.iter_mut().filter_map(Node::as_struct_mut) {
        match request.get_mut("firstAvailable").and_then(Node::as_list_mut) {
            Some(alternatives) if !alternatives.is_empty() => {
                alternatives.iter_mut().filter_map(Node::as_struct_mut).for_each(device_claim::default_request);
            }
            _ => device_claim::default_request(request),
        }
    }
}

/// Fills in a claim's specification as it is stored.
pub(super) fn to_stored(served: &Struct, stored: &mut Struct) {
    convert(served, stored, |request, made| {
        if ASKED.iter().any(|field| request.has(field)) {
            copy(request, made.struct_at("exactly"));
        }
    });
}

/// Fills in a claim's specification as it is served.
pub(super) fn from_stored(stored: &Struct, served: &mut Struct) {
    convert(stored, served, |request, made| {
        if let Some(exactly) = request.get("exactly").and_then(Node::as_struct) {
            copy(exactly, made);
        }
    });
}

fn copy(from: &Struct, to: &mut Struct) {
    ASKED.iter().for_each(|field| copy_field(to, from, field));
}

fn convert(from: &Struct, to: &mut Struct, request: impl Fn(&Struct, &mut Struct)) {
    let Some(devices) = from.get("devices").and_then(Node::as_struct) else { return };
    let target = to.struct_at("devices");
    copy_field(target, devices, "constraints");
    copy_field(target, devices, "config");
    for each in devices.items_at("requests").iter().filter_map(Node::as_struct) {
        let Some(mut made) = target.new_item("requests") else { continue };
        copy_field(&mut made, each, "name");
        for alternative in each.items_at("firstAvailable").iter().filter_map(Node::as_struct) {
            let Some(mut other) = made.new_item("firstAvailable") else { continue };
            copy_field(&mut other, alternative, "name");
            copy(alternative, &mut other);
            made.list_at("firstAvailable").push(other.into());
        }
        request(each, &mut made);
        target.list_at("requests").push(made.into());
    }
}
