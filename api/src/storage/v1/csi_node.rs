//! `CSINode`: the storage drivers of a node. A driver's entry comes and goes; only what it can take changes.

use jiff::Timestamp;

use crate::kind::{Kind, Scope};
use crate::meta::shown;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, integer, name_column};
use crate::validation::{Errors, Path};

const NODE_ID_MAX: usize = 256;

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "csinodes",
    singular: "csinode",
    kind: "CSINode",
    scope: Scope::Cluster,
    ty: &types::STORAGE_V1_CSI_NODE,
    returns_deleted: true,
    columns: &[name_column(), integer("Drivers", "How many drivers run on the node."), age_column()],
    row,
    unconditional_update: false,
    // The status belongs to a feature that is off.
    on_create: |node| drop(node.body.remove("status")),
    on_update: |node, _| drop(node.body.remove("status")),
    check,
    check_update,
    ..Kind::BASE
};

fn drivers(node: &Object) -> &[Node] {
    node.body.items_at("spec.drivers")
}

fn row(node: &Object, now: Timestamp) -> Row {
    let count = i64::try_from(drivers(node).len()).unwrap_or(i64::MAX);
    Row::of([node.name().into(), count.into(), Row::age(node, now)])
}

fn check(node: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("drivers");
    for (index, driver) in drivers(node).iter().enumerate() {
        let path = path.index(index);
        let (name, id) = (driver.str_at("name"), driver.str_at("nodeID"));
        names::check_csi_driver_name(name, &path.field("name"), errors);
        if id.is_empty() {
            errors.required(&path.field("nodeID"), "");
        } else if id.len() > NODE_ID_MAX {
            errors.invalid(&path.field("nodeID"), id, format!("must be {NODE_ID_MAX} characters or less"));
        }
        let count = driver.i64_at("allocatable.count");
        crate::core::v1::pod_spec::check_not_negative(count, &path.field("allocatable").field("count"), errors);
        if drivers(node)[..index].iter().any(|before| before.str_at("name") == name) {
            errors.duplicate(&path.field("name"), name);
        }
        let keys = driver.items_at("topologyKeys");
        for (index, key) in keys.iter().filter_map(Node::as_str).enumerate() {
            if key.is_empty() {
                errors.required(&path, "");
            }
            if keys[..index].iter().any(|before| before.as_str() == Some(key)) {
                errors.duplicate(&path, key);
            }
            for problem in names::qualified_name(key) {
                errors.invalid(&path, shown(driver.get("topologyKeys")), problem);
            }
        }
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let fixed = |driver: &Node| {
        let mut driver = driver.clone();
        driver.remove("allocatable");
        driver
    };
    for driver in drivers(new) {
        let before = drivers(old).iter().find(|before| before.str_at("name") == driver.str_at("name"));
        if before.is_some_and(|before| fixed(before) != fixed(driver)) {
            errors.invalid(&Path::Root.field("CSINodeDriver"), shown(Some(driver)), "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {drivers: [{name: x.y, nodeID: n1, topologyKeys: [a/b]}]}", &[]),
            (
                &KIND,
                "spec: {drivers: [{name: x, nodeID: n1}, {name: x, nodeID: '', allocatable: {count: -1}, topologyKeys: [a, a]}]}",
                &[
                    "spec.drivers[1].nodeID: Required value",
                    "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
                    "spec.drivers[1].name: Duplicate value: \"x\"",
                    "spec.drivers[1]: Duplicate value: \"a\"",
                ],
            ),
        ]);
    }

    #[test]
    fn only_the_count_of_a_driver_changes() {
        let with = |rest: &str| format!("spec: {{drivers: [{{name: x, nodeID: {rest}}}]}}");
        let counted = "n1, allocatable: {count: 5}";
        assert_eq!(update_errors(&KIND, &with("n1"), &with(counted)), Vec::<String>::new());
        assert!(update_errors(&KIND, &with("n1"), &with("n2"))[0].starts_with("CSINodeDriver: Invalid value: {"));
        assert_eq!(row(&KIND, &with("n1")), "web | 1 | <unknown>");
        assert!(created(&KIND, "{spec: {drivers: []}, status: {storageHealth: [{name: x}]}}").at("status").is_none());
    }
}
