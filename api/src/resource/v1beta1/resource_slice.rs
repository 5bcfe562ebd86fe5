//! `ResourceSlice` as the first beta had it: a view of the slices of `resource.k8s.io/v1`. What a device is stood below
//! `basic`.

use crate::kind::{Conversion, Kind, copy_field};
use crate::node::{Node, Struct};
use crate::resource::v1::resource_slice as present;
use crate::schema::{Type, types};

/// The kind.
pub static KIND: Kind = Kind {
    ty: &types::RESOURCE_V1BETA1_RESOURCE_SLICE,
    conversion: Some(Conversion { to_stored, from_stored }),
    // Everything is checked as it is stored, so the paths in errors are those of the present version.
    check: |slice, errors| (present::KIND.check)(&KIND.to_stored(slice.clone()), errors),
    ..Kind::preview(
        &present::KIND,
        "v1beta1",
        "resource.k8s.io/v1beta1 ResourceSlice is deprecated; use resource.k8s.io/v1 ResourceSlice",
    )
};

fn to_stored(served: Struct) -> Struct {
    convert(&served, &types::RESOURCE_V1_RESOURCE_SLICE, |device, made| {
        if let Some(basic) = device.get("basic").and_then(Node::as_struct) {
            basic.iter().for_each(|(field, _)| copy_field(made, basic, field.name));
        }
    })
}

fn from_stored(stored: Struct) -> Struct {
    convert(&stored, &types::RESOURCE_V1BETA1_RESOURCE_SLICE, |device, made| {
        let basic = made.struct_at("basic");
        let facts = device.iter().filter(|(field, _)| field.name != "name");
        facts.for_each(|(field, _)| copy_field(basic, device, field.name));
    })
}

fn convert(from: &Struct, to: Type, device: fn(&Struct, &mut Struct)) -> Struct {
    let mut out = Struct::new(to);
    copy_field(&mut out, from, "metadata");
    let Some(spec) = from.get("spec").and_then(Node::as_struct) else { return out };
    let target = out.struct_at("spec");
    let same = spec.iter().filter(|(field, _)| field.name != "devices");
    same.for_each(|(field, _)| copy_field(target, spec, field.name));
    for each in spec.items_at("devices").iter().filter_map(Node::as_struct) {
        let Some(mut made) = target.new_item("devices") else { continue };
        copy_field(&mut made, each, "name");
        device(each, &mut made);
        target.list_at("devices").push(made.into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors, row};

    const MANIFEST: &str = "
spec:
  driver: a.b
  nodeName: n1
  pool: {name: p, resourceSliceCount: 1, generation: 3}
  devices:
  - {name: d, basic: {attributes: {model: {string: x}}, capacity: {memory: {value: 1Gi}}, taints: [{key: k, effect: NoExecute}]}}
  - {name: e, basic: {}}
";

    #[test]
    fn devices_are_stored_flat_and_come_back_the_same() {
        let served = created(&KIND, MANIFEST);
        let stored = KIND.to_stored(served.clone());
        assert_eq!(stored.str_at("spec.devices.0.attributes.model.string"), "x");
        assert_eq!(stored.str_at("spec.devices.0.capacity.memory.value"), "1Gi");
        assert_eq!(KIND.from_stored(stored).body, served.body);
        assert_eq!(row(&KIND, MANIFEST), "web | n1 | a.b | p | <unknown>");
    }

    #[test]
    fn mistakes_are_told_as_the_present_version_tells_them() {
        assert_eq!(errors(&KIND, MANIFEST), Vec::<String>::new());
        assert_eq!(
            errors(&KIND, &MANIFEST.replace("string: x", "version: x")),
            [
                "spec.devices[0].attributes[model].version: Invalid value: \"x\": must be a string compatible with semver.org spec 2.0.0"
            ]
        );
    }
}
