//! `StorageVersionMigration`: that all objects of a resource shall be written anew. It is asked once and answered once.

use crate::kind::{Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::meta::check_immutable;
use crate::names;
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// How a migration ends.
const ENDS: [&str; 2] = ["Succeeded", "Failed"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "storagemigration.k8s.io",
    plural: "storageversionmigrations",
    singular: "storageversionmigration",
    kind: "StorageVersionMigration",
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "StorageVersionMigration",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::STORAGEMIGRATION_V1_STORAGE_VERSION_MIGRATION,
    check,
    check_update: |new, old, errors| {
        check_immutable(new.at("spec"), old.at("spec"), &Path::Root.field("spec"), errors);
    },
    check_status_update,
    ..Kind::BASE
};

fn check(migration: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("resource");
    let (group, resource) = (migration.str_at("spec.resource.group"), migration.str_at("spec.resource.resource"));
    if !group.is_empty() {
        errors.invalid_each(&path.field("group"), group, names::dns1123_subdomain(group));
    }
    if resource.is_empty() {
        errors.required(&path.field("resource"), "");
    } else {
        errors.invalid_each(&path.field("resource"), resource, names::dns1035_label(resource));
    }
}

fn is_true(migration: &Object, kind: &str) -> bool {
    let conditions = migration.body.items_at("status.conditions");
    conditions.iter().any(|condition| condition.str_at("type") == kind && condition.str_at("status") == "True")
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let (now, before) = (new.str_at("status.resourceVersion"), old.str_at("status.resourceVersion"));
    if !before.is_empty() && now != before {
        errors.invalid(&path.field("resourceVersion"), now, "field is immutable");
    }
    let path = path.field("conditions");
    let shown = || crate::meta::shown(new.at("status.conditions"));
    if ENDS.iter().all(|end| is_true(new, end)) {
        errors.invalid(&path, shown(), "Both success and failed conditions cannot be true at the same time");
    }
    for end in ENDS.iter().filter(|end| is_true(old, end) && !is_true(new, end)) {
        let detail = format!("{end} condition cannot be set to false once it is true");
        errors.invalid(&path, shown(), detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, update_errors, written};

    const WHOLE: &str = "spec: {resource: {group: apps, resource: deployments}}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, WHOLE, &[]),
            (&KIND, "spec: {resource: {resource: secrets}}", &[]),
            (&KIND, "{}", &["spec.resource.resource: Required value"]),
        ]);
        let told = update_errors(&KIND, WHOLE, "spec: {resource: {resource: secrets}}");
        assert!(told[0].starts_with("spec: Invalid value: {") && told[0].ends_with("field is immutable"));
    }

    #[test]
    fn a_migration_ends_once() {
        let with = |conditions: &str| {
            let mut object = created(&KIND, WHOLE);
            let status = written(&KIND, &format!("status: {{conditions: [{conditions}]}}"));
            crate::kind::copy_field(&mut object.body, &status.body, "status");
            object
        };
        let time = "lastTransitionTime: '2026-01-01T00:00:00Z', reason: r, message: m";
        let done = with(&format!("{{type: Succeeded, status: 'True', {time}}}"));
        assert!(KIND.validate_status_update(&done, &with("")).is_empty());
        assert_eq!(KIND.validate_status_update(&with(""), &done).len(), 1);
        let both =
            with(&format!("{{type: Succeeded, status: 'True', {time}}}, {{type: Failed, status: 'True', {time}}}"));
        assert_eq!(KIND.validate_status_update(&both, &with("")).len(), 1);
    }
}
