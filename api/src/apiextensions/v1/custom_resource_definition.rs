//! `CustomResourceDefinition`: a kind that a user defines. What becomes of it is in [`crate::custom`].

use jiff::Timestamp;

use crate::kind::{Generation, Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::structural::has_rules;
use crate::table::{Column, Row, column, name_column};
use crate::validation::Errors;

mod check;
mod naming;

pub use naming::{conditions_true, settle};

/// Holds a definition back until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apiextensions.k8s.io",
    plural: "customresourcedefinitions",
    singular: "customresourcedefinition",
    kind: "CustomResourceDefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "CustomResourceDefinition",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION,
    columns: &[
        name_column(),
        Column { kind: "date", ..column("Created At", "When the server created the definition.") },
    ],
    row,
    generation: Generation::Spec,
    defaults,
    on_create,
    on_update,
    check,
    check_update,
    on_delete,
    warnings,
    ..Kind::BASE
};

fn row(definition: &Object, _now: Timestamp) -> Row {
    Row::of([definition.name().into(), definition.str_at("metadata.creationTimestamp").into()])
}

fn defaults(definition: &mut Struct) {
    let spec = definition.struct_at("spec");
    let kind = spec.str_at("names.kind").to_owned();
    if !kind.is_empty() {
        if spec.str_at("names.singular").is_empty() {
            spec.set("names.singular", kind.to_lowercase());
        }
        if spec.str_at("names.listKind").is_empty() {
            spec.set("names.listKind", format!("{kind}List"));
        }
    }
    if spec.str_at("conversion.strategy").is_empty() {
        spec.set("conversion.strategy", "None");
    }
    if let Some(service) = spec.at_mut("conversion.webhook.clientConfig.service").and_then(Node::as_struct_mut) {
        service.set_default("port", 443_i64);
    }
}

fn storage_version(definition: &Object) -> Option<&str> {
    let versions = definition.body.items_at("spec.versions");
    versions.iter().find(|version| version.bool_at("storage") == Some(true)).map(|version| version.str_at("name"))
}

fn on_create(definition: &mut Object) {
    if let Some(version) = storage_version(definition).map(str::to_owned) {
        definition.set("status.storedVersions", vec![version]);
    }
}

/// A version that becomes the one to store in may have objects stored in it from now on.
fn on_update(new: &mut Object, _old: &Object) {
    let Some(version) = storage_version(new).map(str::to_owned) else { return };
    let known = new.body.items_at("status.storedVersions").iter().any(|stored| stored.as_str() == Some(&*version));
    if !known {
        new.body.list_at("status.storedVersions").push(version.into());
    }
}

fn check(definition: &Object, errors: &mut Errors) {
    check::check(definition, errors);
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    check::check_update(new, old, errors);
}

/// Objects go before their definition.
fn on_delete(definition: &mut Object) {
    if !definition.finalizers().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        let finalizers: Vec<String> =
            definition.finalizers().map(str::to_owned).chain([CLEANUP_FINALIZER.into()]).collect();
        definition.set("metadata.finalizers", Node::from(finalizers));
    }
}

/// What to tell whoever writes this definition, though it is accepted.
fn warnings(definition: &Object) -> Vec<String> {
    let versions = crate::custom::Definition::new(definition).versions();
    let with_rules = versions.enumerate().filter(|(_, version)| has_rules(&version.schema()));
    with_rules
        .map(|(index, _)| {
            format!(
                "spec.versions[{index}].schema.openAPIV3Schema: x-kubernetes-validations is kept, but its rules are not evaluated yet"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
