//! `DeviceClass`: a sort of devices that claims ask for by name.

use super::configuration;
use crate::kind::{Generation, Kind, Scope};
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "resource.k8s.io",
    plural: "deviceclasses",
    singular: "deviceclass",
    kind: "DeviceClass",
    scope: Scope::Cluster,
    ty: &types::RESOURCE_V1_DEVICE_CLASS,
    generation: Generation::Spec,
    check,
    ..Kind::BASE
};

fn check(class: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    configuration::check_selectors(class.body.items_at("spec.selectors"), &path.field("selectors"), errors);
    configuration::check_all(class.body.items_at("spec.config"), &path.field("config"), errors, |_, _, _| {});
    let name = class.at("spec.extendedResourceName").and_then(Node::as_str);
    if let Some(name) = name.filter(|name| !is_extended(name)) {
        errors.invalid(&path.field("extendedResourceName"), name, "must be a valid extended resource name");
    }
}

/// Whether a resource is neither Kubernetes' own nor a quota on one.
fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {selectors: [{cel: {expression: 'true'}}], extendedResourceName: a.b/gpu}", &[]),
            (
                &KIND,
                "spec: {selectors: [{}], config: [{}, {opaque: {driver: a.b, parameters: 1}}], extendedResourceName: cpu}",
                &[
                    "spec.selectors[0].cel: Required value",
                    "spec.config[0].opaque: Required value",
                    "spec.config[1].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object",
                    "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name",
                ],
            ),
        ]);
        assert_eq!(row(&KIND, "spec: {}"), "web | <unknown>");
    }
}
