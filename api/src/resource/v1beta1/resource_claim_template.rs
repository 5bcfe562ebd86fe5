//! `ResourceClaimTemplate` as the first beta had it: a view of the templates of `resource.k8s.io/v1`, whose requests have
//! one level more.

use super::requests;
use crate::kind::{Conversion, Kind, copy_field};
use crate::node::{Node, Struct};
use crate::resource::v1::resource_claim_template as present;
use crate::schema::{Type, types};

/// The kind.
pub static KIND: Kind = Kind {
    ty: &types::RESOURCE_V1BETA1_RESOURCE_CLAIM_TEMPLATE,
    conversion: Some(Conversion { to_stored, from_stored }),
    defaults: |template| {
        if let Some(spec) = template.at_mut("spec.spec").and_then(Node::as_struct_mut) {
            requests::defaults(spec);
        }
    },
    // Everything is checked as it is stored, so the paths in errors are those of the present version.
    check_create: |template, errors| (present::KIND.check_create)(&KIND.to_stored(template.clone()), errors),
    ..Kind::preview(
        &present::KIND,
        "v1beta1",
        "resource.k8s.io/v1beta1 ResourceClaimTemplate is deprecated; use resource.k8s.io/v1 ResourceClaimTemplate",
    )
};

fn to_stored(served: Struct) -> Struct {
    convert(&served, &types::RESOURCE_V1_RESOURCE_CLAIM_TEMPLATE, requests::to_stored)
}

fn from_stored(stored: Struct) -> Struct {
    convert(&stored, &types::RESOURCE_V1BETA1_RESOURCE_CLAIM_TEMPLATE, requests::from_stored)
}

fn convert(from: &Struct, to: Type, spec: fn(&Struct, &mut Struct)) -> Struct {
    let mut out = Struct::new(to);
    copy_field(&mut out, from, "metadata");
    let Some(template) = from.get("spec").and_then(Node::as_struct) else { return out };
    let target = out.struct_at("spec");
    copy_field(target, template, "metadata");
    if let Some(wanted) = template.get("spec").and_then(Node::as_struct) {
        spec(wanted, target.struct_at("spec"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors};

    #[test]
    fn a_template_is_stored_as_the_claims_it_makes_are() {
        let manifest =
            "spec: {metadata: {labels: {a: b}}, spec: {devices: {requests: [{name: gpu, deviceClassName: gpus}]}}}";
        let served = created(&KIND, manifest);
        let stored = KIND.to_stored(served.clone());
        assert_eq!(stored.str_at("spec.spec.devices.requests.0.exactly.deviceClassName"), "gpus");
        assert_eq!(stored.str_at("spec.metadata.labels.a"), "b");
        assert_eq!(KIND.from_stored(stored).body, served.body);
        assert_eq!(
            errors(&KIND, &manifest.replace("gpus", "G")),
            [format!(
                "spec.spec.devices.requests[0].exactly.deviceClassName: Invalid value: \"G\": {}",
                crate::names::dns1123_subdomain("G")[0]
            )]
        );
    }
}
