//! `DeviceTaintRule`: puts a taint on all devices it selects.

use super::device;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "resource.k8s.io",
    plural: "devicetaintrules",
    singular: "devicetaintrule",
    kind: "DeviceTaintRule",
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "DeviceTaintRule",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::RESOURCE_V1_DEVICE_TAINT_RULE,
    generation: Generation::Spec,
    check,
    ..Kind::BASE
};

fn check(rule: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    if let Some(selector) = rule.at("spec.deviceSelector") {
        let path = path.field("deviceSelector");
        let given = |field: &str| selector.get(field).and_then(Node::as_str);
        if let Some(driver) = given("driver") {
            names::check_csi_driver_name(driver, &path.field("driver"), errors);
        }
        if let Some(pool) = given("pool") {
            for part in pool.split('/') {
                errors.invalid_each(&path.field("pool"), part, names::dns1123_subdomain(part));
            }
        }
        if let Some(device) = given("device") {
            errors.invalid_each(&path.field("device"), device, names::dns1123_label(device));
        }
    }
    match rule.at("spec.taint") {
        Some(taint) => device::check_taint(taint, &path.field("taint"), errors),
        None => errors.required(&path.field("taint"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {deviceSelector: {driver: a.b, pool: p/q}, taint: {key: a, effect: NoExecute}}", &[]),
            (&KIND, "spec: {}", &["spec.taint: Required value"]),
            (
                &KIND,
                "spec: {deviceSelector: {driver: ''}, taint: {effect: Sometimes}}",
                &[
                    "spec.deviceSelector.driver: Required value",
                    "spec.taint.key: Required value: name part must be non-empty",
                    "spec.taint.effect: Unsupported value: \"Sometimes\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
                ],
            ),
        ]);
        assert_eq!(created(&KIND, "spec: {}").generation(), 1);
    }
}
