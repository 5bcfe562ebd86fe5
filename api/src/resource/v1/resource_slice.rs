//! `ResourceSlice`: some of the devices of a driver, and from where they can be used.

use jiff::Timestamp;

use super::device;
use crate::kind::{Generation, Kind, Scope, SelectableField, field_paths};
use crate::meta::check_immutable;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const DEVICES_MAX: usize = 128;
const POOL_NAME_MAX: usize = 253;
/// The ways of saying where devices can be used from.
const PLACES: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];

const FIELDS: [SelectableField; 2] = [SelectableField::text("spec.driver"), SelectableField::text("spec.nodeName")];

/// The kind.
pub static KIND: Kind = Kind {
    group: "resource.k8s.io",
    plural: "resourceslices",
    singular: "resourceslice",
    kind: "ResourceSlice",
    scope: Scope::Cluster,
    ty: &types::RESOURCE_V1_RESOURCE_SLICE,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Node", "The node that has the devices."),
        column("Driver", "The driver that speaks for the devices."),
        column("Pool", "The pool the devices are in."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    check,
    check_update,
    ..Kind::BASE
};

fn row(slice: &Object, now: Timestamp) -> Row {
    Row::of([
        slice.name().into(),
        slice.str_at("spec.nodeName").into(),
        slice.str_at("spec.driver").into(),
        slice.str_at("spec.pool.name").into(),
        Row::age(slice, now),
    ])
}

fn check(slice: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    names::check_csi_driver_name(slice.str_at("spec.driver"), &path.field("driver"), errors);
    check_pool(slice, &path.field("pool"), errors);
    check_place(slice, &path, errors);
    let devices = slice.body.items_at("spec.devices");
    if !devices.is_empty() && !slice.body.items_at("spec.sharedCounters").is_empty() {
        errors.invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let path = path.field("devices");
    if devices.len() > DEVICES_MAX {
        errors.too_many(&path, devices.len(), DEVICES_MAX);
        return;
    }
    for (index, device) in devices.iter().enumerate() {
        let path = path.index(index);
        let name = device.str_at("name");
        if devices[..index].iter().any(|before| before.str_at("name") == name) {
            errors.duplicate(&path, name);
        }
        device::check(device, &path, errors);
    }
}

fn check_pool(slice: &Object, path: &Path<'_>, errors: &mut Errors) {
    let name = slice.str_at("spec.pool.name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        if name.len() > POOL_NAME_MAX {
            errors.too_long(&path.field("name"), POOL_NAME_MAX);
        }
        for part in name.split('/') {
            errors.invalid_each(&path.field("name"), part, names::dns1123_subdomain(part));
        }
    }
    let count = slice.body.i64_at("spec.pool.resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        errors.invalid(&path.field("resourceSliceCount"), count, "must be greater than zero");
    }
    let generation = slice.body.i64_at("spec.pool.generation").unwrap_or(0);
    if generation < 0 {
        errors.invalid(&path.field("generation"), generation, "must be greater than or equal to zero");
    }
}

fn check_place(slice: &Object, path: &Path<'_>, errors: &mut Errors) {
    let mut given: Vec<String> = Vec::new();
    for field in PLACES {
        let path = path.field(field);
        match slice.at("spec").and_then(|spec| spec.get(field)) {
            None => continue,
            Some(Node::Bool(false)) => {
                errors.invalid(&path, false, "must be either unset or set to true");
                continue;
            }
            Some(Node::Str(node)) if node.is_empty() => {
                errors.invalid(&path, "", "must be either unset or set to a non-empty string");
                continue;
            }
            Some(Node::Str(node)) => errors.invalid_each(&path, node, names::dns1123_subdomain(node)),
            Some(selector @ Node::Struct(_)) => {
                let terms = selector.get("nodeSelectorTerms");
                if terms.map_or(0, |terms| terms.items().len()) != 1 {
                    let detail = "must have exactly one node selector term";
                    errors.invalid(&path.field("nodeSelectorTerms"), crate::meta::shown(terms), detail);
                }
            }
            Some(_) => {}
        }
        given.push(format!("`{field}`"));
    }
    let needed = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match given.len() {
        0 => errors.required(path, needed),
        1 => {}
        _ => {
            errors.invalid(path, format!("{{{}}}", given.join(", ")), format!("{needed}, but multiple fields are set"))
        }
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let pool = path.field("pool");
    for (field, path) in [
        ("spec.pool.name", pool.field("name")),
        ("spec.driver", path.field("driver")),
        ("spec.nodeName", path.field("nodeName")),
    ] {
        check_immutable(new.at(field), old.at(field), &path, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    fn slice(rest: &str) -> String {
        format!("spec: {{driver: a.b, pool: {{name: p, resourceSliceCount: 1}}, {rest}}}")
    }

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, &slice("nodeName: n1, devices: [{name: d, attributes: {model: {string: x}}}]"), &[]),
            (
                &KIND,
                "spec: {}",
                &[
                    "spec.driver: Required value",
                    "spec.pool.name: Required value",
                    "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                    "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
                ],
            ),
            (
                &KIND,
                &slice(
                    "nodeName: n1, allNodes: true, devices: [{name: d}, {name: d, attributes: {v: {version: x}}, capacity: {c: {value: 1, requestPolicy: {}}}}]",
                ),
                &[
                    "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
                    "spec.devices[1]: Duplicate value: \"d\"",
                    "spec.devices[1].attributes[v].version: Invalid value: \"x\": must be a string compatible with semver.org spec 2.0.0",
                    "spec.devices[1].capacity[c].requestPolicy: Forbidden: allowMultipleAllocations must be true",
                ],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, &slice("nodeName: n1"), &slice("nodeName: m")),
            ["spec.nodeName: Invalid value: \"m\": field is immutable"]
        );
        assert_eq!(row(&KIND, &slice("nodeName: n1")), "web | n1 | a.b | p | <unknown>");
    }
}
