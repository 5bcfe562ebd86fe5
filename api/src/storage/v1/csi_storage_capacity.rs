//! `CSIStorageCapacity`: how much a driver can still make of a class of volumes in some part of the cluster.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::meta::check_immutable;
use crate::names;
use crate::object::Object;
use crate::quantity::Quantity;
use crate::schema::types;
use crate::selector;
use crate::table::{Row, column, name_column};
use crate::validation::{Errors, Path, Value};

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "csistoragecapacities",
    singular: "csistoragecapacity",
    kind: "CSIStorageCapacity",
    ty: &types::STORAGE_V1_CSI_STORAGE_CAPACITY,
    columns: &[
        name_column(),
        column("StorageClassName", "The class of volumes."),
        column("Capacity", "How much can be made of it."),
    ],
    row,
    unconditional_update: false,
    check,
    check_update: |new, old, errors| {
        for field in ["nodeTopology", "storageClassName"] {
            check_immutable(new.at(field), old.at(field), &Path::Root.field(field), errors);
        }
    },
    ..Kind::BASE
};

fn row(capacity: &Object, _: Timestamp) -> Row {
    let amount = match capacity.str_at("capacity") {
        "" => "<unset>",
        amount => amount,
    };
    Row::of([capacity.name().into(), capacity.str_at("storageClassName").into(), amount.into()])
}

fn check(capacity: &Object, errors: &mut Errors) {
    let root = Path::Root;
    selector::check_object(capacity.at("nodeTopology"), &root.field("nodeTopology"), errors);
    let class = capacity.str_at("storageClassName");
    errors.invalid_each(&root.field("storageClassName"), class, names::dns1123_subdomain(class));
    for field in ["capacity", "maximumVolumeSize"] {
        let amount = capacity.str_at(field);
        if amount.parse::<Quantity>().is_ok_and(|amount| amount.sign() < 0) {
            errors.invalid(&root.field(field), Value::from(amount), "must be greater than or equal to 0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "{storageClassName: fast, capacity: 1Gi}", &[]),
            (
                &KIND,
                "{storageClassName: fast, capacity: -1Gi, nodeTopology: {matchExpressions: [{key: a, operator: Near}]}}",
                &[
                    "nodeTopology.matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator",
                    "capacity: Invalid value: \"-1Gi\": must be greater than or equal to 0",
                ],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, "storageClassName: a", "storageClassName: b"),
            ["storageClassName: Invalid value: \"b\": field is immutable"]
        );
        assert_eq!(row(&KIND, "{storageClassName: fast, capacity: 1Gi}"), "web | fast | 1Gi");
        assert_eq!(row(&KIND, "storageClassName: fast"), "web | fast | <unset>");
    }
}
