//! `VolumeAttributesClass`: attributes of volumes that a driver can change while they are in use.

use jiff::Timestamp;

use super::parameters;
use crate::kind::{Kind, Scope};
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "volumeattributesclasses",
    singular: "volumeattributesclass",
    kind: "VolumeAttributesClass",
    short_names: &["vac"],
    scope: Scope::Cluster,
    ty: &types::STORAGE_V1_VOLUME_ATTRIBUTES_CLASS,
    returns_deleted: true,
    columns: &[name_column(), column("DriverName", "The driver that knows the attributes."), age_column()],
    row,
    check,
    check_update,
    ..Kind::BASE
};

fn row(class: &Object, now: Timestamp) -> Row {
    Row::of([class.name().into(), class.str_at("driverName").into(), Row::age(class, now)])
}

fn check(class: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let driver = class.str_at("driverName");
    if driver.is_empty() {
        errors.required(&root.field("driverName"), "");
    } else {
        errors.invalid_each(&root.field("driverName"), driver, names::qualified_name(&driver.to_lowercase()));
    }
    let (map, path) = (class.at("parameters").and_then(Node::as_map), root.field("parameters"));
    parameters::check(map, &path, errors);
    if map.is_none_or(|map| map.is_empty()) {
        errors.required(&path, "must contain at least one key/value pair");
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    for field in ["driverName", "parameters"] {
        if new.at(field) != old.at(field) {
            errors.forbidden(&Path::Root.field(field), format!("updates to {field} are forbidden."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    #[test]
    fn a_class_names_a_driver_and_says_something_and_stays_so() {
        check_all(&[
            (&KIND, "{driverName: x.y, parameters: {iops: '3000'}}", &[]),
            (
                &KIND,
                "{}",
                &["driverName: Required value", "parameters: Required value: must contain at least one key/value pair"],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, "{driverName: x, parameters: {a: b}}", "{driverName: z, parameters: {a: c}}"),
            [
                "driverName: Forbidden: updates to driverName are forbidden.",
                "parameters: Forbidden: updates to parameters are forbidden.",
            ]
        );
        assert_eq!(row(&KIND, "driverName: x"), "web | x | <unknown>");
    }
}
