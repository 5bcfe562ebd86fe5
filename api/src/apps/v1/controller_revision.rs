//! `ControllerRevision`: what the template of a set was at one time, so that it can be gone back to.

use jiff::Timestamp;

use crate::core::v1::pod_spec::check_not_negative;
use crate::kind::Kind;
use crate::meta::check_immutable;
use crate::node::Struct;
use crate::object::Object;
use crate::schema::{split_api_version, types};
use crate::status::Grouped;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    kind: "ControllerRevision",
    ty: &types::APPS_V1_CONTROLLER_REVISION,
    columns: &[
        name_column(),
        column("Controller", "The object whose template this was."),
        column("Revision", "The number of the revision, counted from 1."),
        age_column(),
    ],
    row,
    check,
    check_update: |new, old, errors| {
        check_immutable(new.at("data"), old.at("data"), &Path::Root.field("data"), errors);
    },
    ..Kind::BASE
};

fn row(revision: &Object, now: Timestamp) -> Row {
    let controller = revision.owner_references().find(|owner| owner.bool_at("controller") == Some(true));
    let name = |owner: &Struct| {
        let group = split_api_version(owner.str_at("apiVersion")).0;
        let kind = owner.str_at("kind").to_lowercase();
        format!("{}/{}", Grouped::new(group, &kind), owner.str_at("name"))
    };
    let controller = controller.map_or_else(|| "<none>".to_owned(), name);
    let number = revision.body.i64_at("revision").unwrap_or(0);
    Row::of([revision.name().into(), controller.into(), number.into(), Row::age(revision, now)])
}

fn check(revision: &Object, errors: &mut Errors) {
    if revision.at("data").is_none() {
        errors.required(&Path::Root.field("data"), "data is mandatory");
    }
    check_not_negative(revision.body.i64_at("revision"), &Path::Root.field("revision"), errors);
}
