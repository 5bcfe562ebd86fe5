//! `StatefulSet`: pods with names that stay and storage that stays with the name.

use jiff::Timestamp;

use super::workload;
use crate::core::v1::{persistent_volume_claim, pod_spec::check_not_negative, pod_template};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::{self, LabelSelector};
use crate::table::{Cell, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path};

/// The fields of a specification that may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    plural: "statefulsets",
    singular: "statefulset",
    kind: "StatefulSet",
    short_names: &["sts"],
    categories: &["all"],
    subresources: &[
        Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: READ_AND_CHANGE },
        Subresource { name: "status", group: "", version: "", kind: "StatefulSet", verbs: READ_AND_CHANGE },
    ],
    ty: &types::APPS_V1_STATEFUL_SET,
    columns: &[
        name_column(),
        column("Ready", "Pods that are ready, of all that should be there."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
    ],
    row,
    generation: Generation::Spec,
    scale: Some(workload::SCALE),
    defaults,
    check,
    check_update,
    check_status_update,
    ..Kind::BASE
};

fn defaults(set: &mut Struct) {
    let spec = set.struct_at("spec");
    spec.set_default("updateStrategy.type", "RollingUpdate");
    spec.set_default("revisionHistoryLimit", 10_i64);
    spec.set_default("podManagementPolicy", "OrderedReady");
    if spec.str_at("updateStrategy.type") == "RollingUpdate" {
        spec.set_default("updateStrategy.rollingUpdate.partition", 0_i64);
    }
    spec.set_default("persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain");
    spec.set_default("persistentVolumeClaimRetentionPolicy.whenScaled", "Retain");
    spec.set_default("replicas", 1_i64);
    pod_template::defaults(spec);
    let claims = spec.get_mut("volumeClaimTemplates").and_then(Node::as_list_mut).into_iter().flatten();
    claims.filter_map(Node::as_struct_mut).for_each(persistent_volume_claim::defaults);
}

fn row(set: &Object, now: Timestamp) -> Row {
    let count = |path: &str| workload::count(set, path);
    let [containers, images, _] = workload::wide_cells(set);
    Row::of([
        set.name().into(),
        Cell::Str(format!("{}/{}", count("status.readyReplicas"), count("spec.replicas"))),
        Row::age(set, now),
        containers,
        images,
    ])
}

fn check(set: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::APPS_V1_STATEFUL_SET_SPEC);
    let spec = set.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    let policy = spec.str_at("podManagementPolicy");
    match policy {
        "" => errors.required(&path.field("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        _ => errors.invalid(&path.field("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'"),
    }
    check_strategy(spec, &path.field("updateStrategy"), errors);
    check_retention(spec, &path.field("persistentVolumeClaimRetentionPolicy"), errors);
    check_not_negative(spec.i64_at("replicas"), &path.field("replicas"), errors);
    check_not_negative(spec.i64_at("minReadySeconds"), &path.field("minReadySeconds"), errors);
    check_not_negative(spec.i64_at("ordinals.start"), &path.field("ordinals").field("start"), errors);
    let service = spec.str_at("serviceName");
    if !service.is_empty() {
        errors.invalid_each(&path.field("serviceName"), service, names::dns1123_label(service));
    }
    check_selector(spec, &path.field("selector"), errors);
    let selector = spec.get("selector").and_then(LabelSelector::from_object).unwrap_or_default();
    let template = path.field("template");
    pod_template::check_selected(spec, |labels| selector.matches_labels(labels), &template, errors);
    // Mounts may name volumes that only the claims of each pod bring: the pod itself is checked when it is made.
    pod_template::check_metadata(spec.get("template"), &template, errors);
    let pod = template.field("spec");
    let restart = spec.str_at("template.spec.restartPolicy");
    if restart != "Always" {
        errors.not_supported(&pod.field("restartPolicy"), restart, &["Always"]);
    }
    if let Some(seconds) = spec.i64_at("template.spec.activeDeadlineSeconds") {
        errors.invalid(&pod.field("activeDeadlineSeconds"), seconds, "must not be specified");
    }
}

fn check_strategy(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let rolling = spec.at("updateStrategy.rollingUpdate");
    match spec.str_at("updateStrategy.type") {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if rolling.is_some() {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.invalid(&path.field("rollingUpdate"), shown(rolling), detail);
            }
        }
        "RollingUpdate" => {
            let path = path.field("rollingUpdate");
            check_not_negative(
                rolling.and_then(|rolling| rolling.i64_at("partition")),
                &path.field("partition"),
                errors,
            );
            if let Some(most) = rolling.and_then(|rolling| rolling.get("maxUnavailable")) {
                let path = path.field("maxUnavailable");
                workload::check_count_or_percent(most, &path, errors);
                if workload::is_nothing(most) {
                    errors.invalid(&path, shown(Some(most)), "cannot be 0");
                }
            }
        }
        _ => errors.invalid(path, shown(spec.get("updateStrategy")), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn check_retention(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let Some(policy) = spec.get("persistentVolumeClaimRetentionPolicy") else { return };
    for field in ["whenDeleted", "whenScaled"] {
        let value = policy.str_at(field);
        if !matches!(value, "Retain" | "Delete") {
            errors.not_supported(&path.field(field), value, &["Retain", "Delete"]);
        }
    }
}

fn check_selector(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let selector = spec.get("selector");
    match selector.and_then(Node::as_struct) {
        None => errors.required(path, ""),
        Some(labels) => {
            selector::check_object(selector, path, errors);
            if labels.is_empty() {
                errors.invalid(path, shown(selector), "empty selector is invalid for statefulset");
            }
        }
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let kept = |set: &Object| {
        let mut spec = set.at("spec").and_then(Node::as_struct).cloned();
        if let Some(spec) = &mut spec {
            spec.retain(|field, _| !MUTABLE.contains(&field.name));
        }
        spec
    };
    if kept(new) != kept(old) {
        let mutable = MUTABLE.map(|field| format!("'{field}'"));
        let [all @ .., last] = &mutable;
        let detail =
            format!("updates to statefulset spec for fields other than {} and {last} are forbidden", all.join(", "));
        errors.forbidden(&Path::Root.field("spec"), detail);
    }
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    const PARTS: [&str; 4] = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    workload::check_counts(new, &["replicas"], errors);
    workload::check_counts(new, &PARTS, errors);
    workload::check_counts(new, &["observedGeneration", "collisionCount"], errors);
    workload::check_parts(new, &PARTS, errors);
    let count = |field: &str| workload::count(new, field);
    if count("status.availableReplicas") > count("status.readyReplicas") {
        let path = Path::Root.field("status");
        let detail = "cannot be greater than status.readyReplicas";
        errors.invalid(&path.field("availableReplicas"), count("status.availableReplicas"), detail);
    }
    workload::check_collisions(new, old, errors);
}
