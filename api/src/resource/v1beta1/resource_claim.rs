//! `ResourceClaim` as the first beta had it: a view of the claims of `resource.k8s.io/v1`, whose requests have one level
//! more.

use super::requests;
use crate::kind::{Conversion, Kind, copy_field};
use crate::node::{Node, Struct};
use crate::resource::v1::resource_claim as present;
use crate::schema::{Type, types};

/// The kind.
pub static KIND: Kind = Kind {
    ty: &types::RESOURCE_V1BETA1_RESOURCE_CLAIM,
    conversion: Some(Conversion { to_stored, from_stored }),
    defaults: |claim| {
        if let Some(spec) = claim.get_mut("spec").and_then(Node::as_struct_mut) {
            requests::defaults(spec);
        }
    },
    // Everything is checked as it is stored, so the paths in errors are those of the present version.
    check_create: |claim, errors| (present::KIND.check_create)(&KIND.to_stored(claim.clone()), errors),
    ..Kind::preview(
        &present::KIND,
        "v1beta1",
        "resource.k8s.io/v1beta1 ResourceClaim is deprecated; use resource.k8s.io/v1 ResourceClaim",
    )
};

fn to_stored(served: Struct) -> Struct {
    convert(&served, &types::RESOURCE_V1_RESOURCE_CLAIM, requests::to_stored)
}

fn from_stored(stored: Struct) -> Struct {
    convert(&stored, &types::RESOURCE_V1BETA1_RESOURCE_CLAIM, requests::from_stored)
}

fn convert(from: &Struct, to: Type, spec: fn(&Struct, &mut Struct)) -> Struct {
    let mut out = Struct::new(to);
    copy_field(&mut out, from, "metadata");
    copy_field(&mut out, from, "status");
    if let Some(wanted) = from.get("spec").and_then(Node::as_struct) {
        spec(wanted, out.struct_at("spec"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors};

    const MANIFEST: &str = "
spec:
  devices:
    constraints: [{requests: [gpu], matchAttribute: a.b/model}]
    config: [{opaque: {driver: a.b, parameters: {x: 1}}}]
    requests:
    - {name: gpu, deviceClassName: gpus, selectors: [{cel: {expression: 'true'}}], adminAccess: false}
    - {name: all, deviceClassName: nics, allocationMode: All}
    - {name: some, firstAvailable: [{name: big, deviceClassName: big, count: 2, capacity: {requests: {memory: 1Gi}}}]}
";

    #[test]
    fn requests_are_stored_one_level_deeper_and_come_back_the_same() {
        let served = created(&KIND, MANIFEST);
        let stored = KIND.to_stored(served.clone());
        assert_eq!(&*stored.api_version, "resource.k8s.io/v1");
        let request = |index: usize| stored.at(&format!("spec.devices.requests.{index}")).unwrap();
        assert_eq!(request(0).str_at("exactly.deviceClassName"), "gpus");
        assert_eq!(
            (request(0).str_at("exactly.allocationMode"), request(0).i64_at("exactly.count")),
            ("ExactCount", Some(1))
        );
        assert_eq!((request(1).str_at("exactly.allocationMode"), request(1).i64_at("exactly.count")), ("All", None));
        assert!(request(2).get("exactly").is_none());
        assert_eq!(request(2).str_at("firstAvailable.0.allocationMode"), "ExactCount");
        assert_eq!(KIND.from_stored(stored).body, served.body);
    }

    #[test]
    fn mistakes_are_told_as_the_present_version_tells_them() {
        assert_eq!(errors(&KIND, MANIFEST), Vec::<String>::new());
        assert_eq!(
            errors(&KIND, "spec: {devices: {requests: [{name: a}]}}"),
            ["spec.devices.requests[0].exactly.deviceClassName: Required value"]
        );
    }
}
