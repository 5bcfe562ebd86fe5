//! `ResourceClaim`: devices for pods. What is asked for never changes; what was given is given once.

use jiff::Timestamp;

use super::device_claim;
use crate::kind::{Kind, READ_AND_CHANGE, Subresource};
use crate::meta::check_immutable;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const CONSUMERS_MAX: usize = 256;

/// The kind.
pub static KIND: Kind = Kind {
    group: "resource.k8s.io",
    plural: "resourceclaims",
    singular: "resourceclaim",
    kind: "ResourceClaim",
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "ResourceClaim",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::RESOURCE_V1_RESOURCE_CLAIM,
    columns: &[name_column(), column("State", "Whether devices were given, and are in use."), age_column()],
    row,
    defaults: |claim: &mut Struct| {
        if let Some(spec) = claim.get_mut("spec").and_then(Node::as_struct_mut) {
            device_claim::defaults(spec);
        }
    },
    check_create: |claim, errors| {
        let empty = Struct::new(claim.body.ty());
        let spec = claim.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
        device_claim::check(spec, &Path::Root.field("spec"), errors);
    },
    check_update: |new, old, errors| {
        check_immutable(new.at("spec"), old.at("spec"), &Path::Root.field("spec"), errors);
    },
    check_status_update,
    ..Kind::BASE
};

fn consumers(claim: &Object) -> &[Node] {
    claim.body.items_at("status.reservedFor")
}

fn row(claim: &Object, now: Timestamp) -> Row {
    let mut states: Vec<&str> = Vec::new();
    if claim.is_deleting() {
        states.push("deleted");
    }
    if claim.at("status.allocation").is_none() {
        if states.is_empty() {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if !consumers(claim).is_empty() {
            states.push("reserved");
        }
    }
    Row::of([claim.name().into(), states.join(",").into(), Row::age(claim, now)])
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let (list, now) = (path.field("reservedFor"), consumers(new));
    if now.len() > CONSUMERS_MAX {
        errors.too_many(&list, now.len(), CONSUMERS_MAX);
    }
    for (index, consumer) in now.iter().take(CONSUMERS_MAX).enumerate() {
        let path = list.index(index);
        for field in ["resource", "name", "uid"] {
            if consumer.str_at(field).is_empty() {
                errors.required(&path.field(field), "");
            }
        }
        if now[..index].iter().any(|before| before.str_at("uid") == consumer.str_at("uid")) {
            errors.duplicate(&path, consumer.str_at("uid"));
        }
    }
    let allocation = new.at("status.allocation");
    if !now.is_empty() && allocation.is_none() {
        errors.forbidden(&list, "may not be specified when `allocated` is not set");
    } else if new.is_deleting() && now.iter().any(|consumer| !consumers(old).contains(consumer)) {
        let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.forbidden(&list, detail);
    }
    let path = path.field("allocation");
    match (allocation, old.at("status.allocation")) {
        (Some(now), Some(before)) => check_immutable(Some(now), Some(before), &path, errors),
        (Some(now), None) => check_allocation(new, now, &path, errors),
        (None, _) => {}
    }
}

fn check_allocation(claim: &Object, allocation: &Node, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("devices");
    let path = path.field("results");
    for (index, result) in allocation.items_at("devices.results").iter().enumerate() {
        let path = path.index(index);
        let request = result.str_at("request");
        if !device_claim::is_request(request, claim.body.items_at("spec.devices.requests")) {
            let detail =
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            errors.invalid(&path.field("request"), request, detail);
        }
        crate::names::check_csi_driver_name(result.str_at("driver"), &path.field("driver"), errors);
        let device = result.str_at("device");
        errors.invalid_each(&path.field("device"), device, crate::names::dns1123_label(device));
        if result.str_at("pool").is_empty() {
            errors.required(&path.field("pool"), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row, update_errors, written};

    const WHOLE: &str = "spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpus}}]}}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, WHOLE, &[]),
            (
                &KIND,
                "spec: {devices: {requests: [{name: a}, {name: a, exactly: {allocationMode: All, count: 2}}]}}",
                &[
                    "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                    "spec.devices.requests[1]: Duplicate value: \"a\"",
                    "spec.devices.requests[1].exactly.deviceClassName: Required value",
                    "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
                ],
            ),
            (
                &KIND,
                "spec: {devices: {requests: [{name: a, firstAvailable: [{name: x, deviceClassName: c}]}], constraints: [{requests: [a/x, b], matchAttribute: a.b/model}, {}]}}",
                &[
                    "spec.devices.constraints[0].requests[1]: Invalid value: \"b\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
                    "spec.devices.constraints[1]: Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
                ],
            ),
        ]);
        let told = update_errors(&KIND, WHOLE, &WHOLE.replace("gpus", "cpus"));
        assert!(told[0].starts_with("spec: Invalid value: {") && told[0].ends_with("field is immutable"));
        let made = created(&KIND, WHOLE);
        assert_eq!(made.body.i64_at("spec.devices.requests.0.exactly.count"), Some(1));
    }

    #[test]
    fn devices_are_given_once_and_only_then_used() {
        let with = |status: &str| {
            let mut object = created(&KIND, WHOLE);
            let status = written(&KIND, &format!("status: {status}"));
            crate::kind::copy_field(&mut object.body, &status.body, "status");
            object
        };
        let told = |new: &Object, old: &Object| -> Vec<String> {
            KIND.validate_status_update(new, old).iter().map(ToString::to_string).collect()
        };
        let given = |device: &str| {
            format!(
                "{{allocation: {{devices: {{results: [{{request: gpu, driver: a.b, pool: p, device: {device}}}]}}}}}}"
            )
        };
        let (pending, one) = (with("{}"), with(&given("d1")));
        assert_eq!(told(&one, &pending), Vec::<String>::new());
        assert!(told(&with(&given("d2")), &one)[0].ends_with("field is immutable"));
        assert_eq!(
            told(&with("{reservedFor: [{resource: pods, name: p, uid: u}]}"), &pending),
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]
        );
        assert_eq!(row(&KIND, WHOLE), "web | pending | <unknown>");
        let used = "status: {allocation: {}, reservedFor: [{resource: pods, name: p, uid: u}]}";
        assert_eq!(row(&KIND, used), "web | allocated,reserved | <unknown>");
    }
}
