//! `Namespace`: a room of names. Its deletion waits for everything in it, and for `spec.finalizers`.

use jiff::Timestamp;

use crate::kind::{
    Kind, Part, READ_AND_CHANGE, Scope, SelectableField, Subresource, VERBS_WITHOUT_DELETECOLLECTION, field_paths,
};
use crate::meta::check_finalizer;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The label that carries a namespace's name, so that selectors can name namespaces.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

const FIELDS: [SelectableField; 1] = [SelectableField::text("status.phase")];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    scope: Scope::Cluster,
    verbs: VERBS_WITHOUT_DELETECOLLECTION,
    subresources: &[
        Subresource { name: "finalize", group: "", version: "", kind: "Namespace", verbs: &["update"] },
        Subresource { name: "status", group: "", version: "", kind: "Namespace", verbs: READ_AND_CHANGE },
    ],
    parts: &[Part { name: "finalize", prepare: prepare_for_finalize, check: |_, _, _| {} }],
    ty: &types::CORE_V1_NAMESPACE,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[name_column(), column("Status", "Whether the namespace is in use or going away."), age_column()],
    row,
    name_rule: names::dns1123_label,
    defaults,
    on_create,
    on_update,
    check,
    check_status_update,
    on_delete: |namespace| namespace.set("status.phase", "Terminating"),
    held: |namespace| !namespace.body.items_at("spec.finalizers").is_empty(),
    ..Kind::BASE
};

fn row(namespace: &Object, now: Timestamp) -> Row {
    Row::of([namespace.name().into(), namespace.str_at("status.phase").into(), Row::age(namespace, now)])
}

fn defaults(namespace: &mut Struct) {
    let name = namespace.str_at("metadata.name").to_owned();
    if !name.is_empty() {
        namespace.struct_at("metadata").entry("labels").set(NAME_LABEL, name);
    }
}

fn on_create(namespace: &mut Object) {
    defaults(&mut namespace.body);
    namespace.set("status.phase", "Active");
    let finalizers = namespace.body.list_at("spec.finalizers");
    if !finalizers.iter().any(|finalizer| finalizer.as_str() == Some("kubernetes")) {
        finalizers.push("kubernetes".into());
    }
}

/// What is written to `finalize` is no word on how the namespace is.
fn prepare_for_finalize(new: &mut Object, old: &Object) {
    defaults(&mut new.body);
    crate::kind::copy_field(&mut new.body, &old.body, "status");
}

/// Only `finalize` changes the finalizers of a namespace.
fn on_update(new: &mut Object, old: &Object) {
    defaults(&mut new.body);
    crate::kind::copy_field(&mut new.body, &old.body, "spec");
}

fn check(namespace: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("finalizers");
    for (index, finalizer) in namespace.body.items_at("spec.finalizers").iter().filter_map(Node::as_str).enumerate() {
        check_finalizer(finalizer, &path.index(index), errors);
    }
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let (phase, deleting) = (new.str_at("status.phase"), new.is_deleting());
    if !deleting && phase != "Active" {
        errors.invalid(&path.field("Phase"), phase, "may only be 'Active' if `deletionTimestamp` is empty");
    } else if deleting && phase != "Terminating" {
        errors.invalid(&path.field("Phase"), phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
}
