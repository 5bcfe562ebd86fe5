//! `StorageClass`: how volumes of a sort are made. Only what does not touch volumes already made can change.

use jiff::Timestamp;

use super::parameters;
use crate::core::v1::pod_spec::check_choice;
use crate::kind::{Kind, Scope};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Map, Node};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// Annotations that make a class the one of claims that name none.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "storageclasses",
    singular: "storageclass",
    kind: "StorageClass",
    short_names: &["sc"],
    scope: Scope::Cluster,
    ty: &types::STORAGE_V1_STORAGE_CLASS,
    returns_deleted: true,
    columns: &[
        name_column(),
        column("Provisioner", "Who makes the volumes."),
        column("ReclaimPolicy", "What happens to a volume that is no longer claimed."),
        column("VolumeBindingMode", "When a volume is made and bound."),
        column("AllowVolumeExpansion", "Whether volumes can grow."),
        age_column(),
    ],
    row,
    defaults: |class| {
        class.set_default("reclaimPolicy", "Delete");
        class.set_default("volumeBindingMode", "Immediate");
    },
    check,
    check_update,
    ..Kind::BASE
};

/// Whether claims that name no class are of this one.
pub fn is_default(class: &Object) -> bool {
    DEFAULT_ANNOTATIONS.iter().any(|key| class.annotation(key) == Some("true"))
}

fn row(class: &Object, now: Timestamp) -> Row {
    let or = |path: &str, otherwise: &'static str| match class.str_at(path) {
        "" => Cell::from(otherwise),
        text => text.into(),
    };
    let name = if is_default(class) { format!("{} (default)", class.name()) } else { class.name().to_owned() };
    Row::of([
        name.into(),
        class.str_at("provisioner").into(),
        or("reclaimPolicy", "Delete"),
        or("volumeBindingMode", "Immediate"),
        Cell::Bool(class.body.bool_at("allowVolumeExpansion") == Some(true)),
        Row::age(class, now),
    ])
}

fn check(class: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let provisioner = class.str_at("provisioner");
    if provisioner.is_empty() {
        errors.required(&root.field("provisioner"), "");
    } else {
        let problems = names::qualified_name(&provisioner.to_lowercase());
        errors.invalid_each(&root.field("provisioner"), provisioner, problems);
    }
    parameters::check(class.at("parameters").and_then(Node::as_map), &root.field("parameters"), errors);
    check_choice(class.str_at("reclaimPolicy"), &["Delete", "Retain"], &root.field("reclaimPolicy"), errors);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    check_choice(class.str_at("volumeBindingMode"), &modes, &root.field("volumeBindingMode"), errors);
    check_topologies(class.body.items_at("allowedTopologies"), &root.field("allowedTopologies"), errors);
}

/// Keys are unique in a term, values with a key, and terms in the list.
fn check_topologies(terms: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, term) in terms.iter().enumerate() {
        let expressions = term.items_at("matchLabelExpressions");
        for (index, expression) in expressions.iter().enumerate() {
            let path = path.field("matchLabelExpressions");
            let path = path.index(index);
            let (key, values) = (expression.str_at("key"), expression.items_at("values"));
            if values.is_empty() {
                errors.required(&path.field("values"), "");
            }
            for (index, value) in values.iter().enumerate() {
                if values[..index].contains(value) {
                    errors.duplicate(&path.field("values").index(index), value.as_str().unwrap_or(""));
                }
            }
            errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
            if expressions[..index].iter().any(|before| before.str_at("key") == key) {
                errors.duplicate(&path.field("key"), key);
            }
        }
        if terms[..index].iter().any(|before| same_term(before, term)) {
            errors.duplicate(&path.index(index).field("matchLabelExpressions"), "");
        }
    }
}

/// Whether two terms allow the same, in whatever order they say it.
fn same_term(one: &Node, other: &Node) -> bool {
    let meaning = |term: &Node| {
        let expressions = term.items_at("matchLabelExpressions").iter().map(|expression| {
            let mut values: Vec<&str> = expression.items_at("values").iter().filter_map(Node::as_str).collect();
            values.sort_unstable();
            (expression.str_at("key").to_owned(), values.join("\0"))
        });
        let mut expressions: Vec<(String, String)> = expressions.collect();
        expressions.sort();
        expressions
    };
    meaning(one) == meaning(other)
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let map =
        |class: &Object| class.at("parameters").and_then(Node::as_map).cloned().filter(|map: &Map| !map.is_empty());
    if map(new) != map(old) {
        errors.forbidden(&root.field("parameters"), "updates to parameters are forbidden.");
    }
    for field in ["provisioner", "reclaimPolicy"] {
        if new.str_at(field) != old.str_at(field) {
            errors.forbidden(&root.field(field), format!("updates to {field} are forbidden."));
        }
    }
    let mode = "volumeBindingMode";
    check_immutable(new.at(mode), old.at(mode), &root.field(mode), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, defaulted, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "{provisioner: example.com/Disk, parameters: {a: b}}", &[]),
            (&KIND, "{}", &["provisioner: Required value"]),
            (
                &KIND,
                "{provisioner: x, reclaimPolicy: Recycle, volumeBindingMode: Later}",
                &[
                    "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
                    "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                ],
            ),
            (
                &KIND,
                "{provisioner: x, allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a, b, a]}, {key: zone, values: []}]}]}",
                &[
                    "allowedTopologies.matchLabelExpressions[0].values[2]: Duplicate value: \"a\"",
                    "allowedTopologies.matchLabelExpressions[1].values: Required value",
                    "allowedTopologies.matchLabelExpressions[1].key: Duplicate value: \"zone\"",
                ],
            ),
            (
                &KIND,
                "{provisioner: x, allowedTopologies: [{matchLabelExpressions: [{key: z, values: [a, b]}]}, {matchLabelExpressions: [{key: z, values: [b, a]}]}]}",
                &["allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""],
            ),
        ]);
    }

    #[test]
    fn what_made_a_volume_never_changes() {
        assert_eq!(
            update_errors(
                &KIND,
                "{provisioner: x, parameters: {a: b}}",
                "{provisioner: z, reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer, allowVolumeExpansion: true}"
            ),
            [
                "parameters: Forbidden: updates to parameters are forbidden.",
                "provisioner: Forbidden: updates to provisioner are forbidden.",
                "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
                "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
            ]
        );
    }

    #[test]
    fn the_default_class_is_marked() {
        let class = defaulted(&KIND, "provisioner: x");
        assert_eq!((class.str_at("reclaimPolicy"), class.str_at("volumeBindingMode")), ("Delete", "Immediate"));
        let marked = "metadata: {annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}\nprovisioner: x";
        assert_eq!(row(&KIND, marked), "web (default) | x | Delete | Immediate | false | <unknown>");
    }
}
