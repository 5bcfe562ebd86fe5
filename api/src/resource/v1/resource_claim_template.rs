//! `ResourceClaimTemplate`: claims that are made for each pod anew.

use super::device_claim;
use crate::kind::Kind;
use crate::meta::{check_annotations, check_immutable, check_labels};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "resource.k8s.io",
    plural: "resourceclaimtemplates",
    singular: "resourceclaimtemplate",
    kind: "ResourceClaimTemplate",
    ty: &types::RESOURCE_V1_RESOURCE_CLAIM_TEMPLATE,
    defaults: |template: &mut Struct| {
        let spec = template.get_mut("spec").and_then(|spec| spec.get_mut("spec"));
        if let Some(spec) = spec.and_then(Node::as_struct_mut) {
            device_claim::defaults(spec);
        }
    },
    check_create,
    check_update: |new, old, errors| {
        check_immutable(new.at("spec"), old.at("spec"), &Path::Root.field("spec"), errors);
    },
    ..Kind::BASE
};

fn check_create(template: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let metadata = path.field("metadata");
    let map = |field: &str| template.at(field).and_then(Node::as_map);
    check_labels(map("spec.metadata.labels"), &metadata.field("labels"), errors);
    check_annotations(map("spec.metadata.annotations"), &metadata.field("annotations"), errors);
    let empty = Struct::new(template.body.ty());
    let spec = template.at("spec.spec").and_then(Node::as_struct).unwrap_or(&empty);
    device_claim::check(spec, &path.field("spec"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created};

    #[test]
    fn a_template_is_checked_as_the_claims_it_makes() {
        check_all(&[
            (&KIND, "spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: c}}]}}}", &[]),
            (
                &KIND,
                "spec: {metadata: {labels: {'a b': x}}, spec: {devices: {requests: [{name: a}]}}}",
                &[
                    &format!(
                        "spec.metadata.labels: Invalid value: \"a b\": {}",
                        crate::names::qualified_name("a b")[0]
                    ),
                    "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                ],
            ),
        ]);
        let made = created(&KIND, "spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: c}}]}}}");
        assert_eq!(made.str_at("spec.spec.devices.requests.0.exactly.allocationMode"), "ExactCount");
    }
}
