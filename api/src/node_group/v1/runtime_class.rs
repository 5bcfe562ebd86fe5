//! `RuntimeClass`: a way in which nodes can run pods, with what it costs and where it is to be had.

use jiff::Timestamp;

use crate::core::v1::pod_spec::{check_quantities, check_tolerations};
use crate::kind::{Kind, Scope};
use crate::meta::{check_immutable, check_labels};
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    kind: "RuntimeClass",
    scope: Scope::Cluster,
    ty: &types::NODE_V1_RUNTIME_CLASS,
    columns: &[name_column(), column("Handler", "What the nodes call the way of running pods."), age_column()],
    row,
    create_on_update: true,
    unconditional_update: false,
    check,
    check_update: |new, old, errors| {
        check_immutable(new.at("handler"), old.at("handler"), &Path::Root.field("handler"), errors);
    },
    ..Kind::BASE
};

fn row(class: &Object, now: Timestamp) -> Row {
    Row::of([class.name().into(), class.str_at("handler").into(), Row::age(class, now)])
}

fn check(class: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let handler = class.str_at("handler");
    errors.invalid_each(&root.field("handler"), handler, names::dns1123_label(handler));
    let path = root.field("overhead");
    check_quantities(class.at("overhead.podFixed").and_then(Node::as_map), &path.field("limits"), errors);
    let path = root.field("scheduling");
    check_labels(class.at("scheduling.nodeSelector").and_then(Node::as_map), &path.field("nodeSelector"), errors);
    check_tolerations(class.body.items_at("scheduling.tolerations"), &path.field("tolerations"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let bad_name = &names::dns1123_label("A")[0];
        check_all(&[
            (&KIND, "handler: runc", &[]),
            (&KIND, "handler: A", &[&format!("handler: Invalid value: \"A\": {bad_name}")]),
            (
                &KIND,
                "{handler: a, overhead: {podFixed: {cpu: -1}}, scheduling: {tolerations: [{operator: Exists, value: x}]}}",
                &[
                    "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                    "scheduling.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
                ],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, "handler: a", "handler: b"),
            ["handler: Invalid value: \"b\": field is immutable"]
        );
        assert_eq!(row(&KIND, "handler: runc"), "web | runc | <unknown>");
    }
}
