//! `Deployment`: alike pods that are replaced step by step when their template changes.

use jiff::Timestamp;

use super::workload;
use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    plural: "deployments",
    singular: "deployment",
    kind: "Deployment",
    short_names: &["deploy"],
    categories: &["all"],
    subresources: &[
        Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: READ_AND_CHANGE },
        Subresource { name: "status", group: "", version: "", kind: "Deployment", verbs: READ_AND_CHANGE },
    ],
    ty: &types::APPS_V1_DEPLOYMENT,
    columns: &[
        name_column(),
        column("Ready", "Pods that are ready, of all that should be there."),
        column("Up-to-date", "Pods made from the present template."),
        column("Available", "Pods that have been ready for long enough."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
        wide("Selector", "Labels by which pods are counted."),
    ],
    row,
    generation: Generation::SpecOrAnnotations,
    scale: Some(workload::SCALE),
    defaults,
    check,
    check_update: workload::check_update,
    check_status_update,
    ..Kind::BASE
};

fn defaults(deployment: &mut Struct) {
    let spec = deployment.struct_at("spec");
    spec.set_default("replicas", 1_i64);
    spec.set_default("revisionHistoryLimit", 10_i64);
    spec.set_default("progressDeadlineSeconds", 600_i64);
    spec.set_default("strategy.type", "RollingUpdate");
    if spec.str_at("strategy.type") == "RollingUpdate" {
        spec.set_default("strategy.rollingUpdate.maxUnavailable", "25%");
        spec.set_default("strategy.rollingUpdate.maxSurge", "25%");
    }
    pod_template::defaults(spec);
}

fn check(deployment: &Object, errors: &mut Errors) {
    workload::check(deployment, errors);
    let path = Path::Root.field("spec");
    let body = &deployment.body;
    check_strategy(deployment, &path.field("strategy"), errors);
    check_not_negative(body.i64_at("spec.revisionHistoryLimit"), &path.field("revisionHistoryLimit"), errors);
    if let Some(deadline) = body.i64_at("spec.progressDeadlineSeconds") {
        let path = path.field("progressDeadlineSeconds");
        check_not_negative(Some(deadline), &path, errors);
        if deadline <= body.i64_at("spec.minReadySeconds").unwrap_or(0) {
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
    }
}

fn check_strategy(deployment: &Object, path: &Path<'_>, errors: &mut Errors) {
    let rolling = deployment.at("spec.strategy.rollingUpdate").and_then(Node::as_struct);
    let rolling_path = path.field("rollingUpdate");
    match (deployment.str_at("spec.strategy.type"), rolling) {
        ("Recreate", Some(_)) => {
            errors.forbidden(&rolling_path, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => {
            errors.required(&rolling_path, "this should be defaulted and never be nil");
        }
        ("RollingUpdate", Some(rolling)) => check_rolling(rolling, &rolling_path, errors),
        (other, _) => errors.not_supported(&path.field("type"), other, &["Recreate", "RollingUpdate"]),
    }
}

fn check_rolling(rolling: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        let path = path.field(field);
        match rolling.get(field) {
            Some(Node::Str(percent)) => errors.invalid_each(&path, percent, names::percent(percent)),
            Some(Node::Int(number)) => check_not_negative(Some(*number), &path, errors),
            _ => {}
        }
    }
    let percent = |field: &str| rolling.str_at(field).strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok());
    let is_zero = |field: &str| rolling.i64_at(field) == Some(0) || percent(field) == Some(0);
    let path = path.field("maxUnavailable");
    if is_zero("maxUnavailable") && is_zero("maxSurge") {
        errors.invalid(&path, crate::meta::shown(rolling.get("maxUnavailable")), "may not be 0 when `maxSurge` is 0");
    }
    if percent("maxUnavailable").is_some_and(|percent| percent > 100) {
        errors.invalid(&path, rolling.str_at("maxUnavailable"), "must not be greater than 100%");
    }
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    const PARTS: [&str; 3] = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    workload::check_counts(new, &["observedGeneration", "replicas", "unavailableReplicas"], errors);
    workload::check_counts(new, &PARTS, errors);
    workload::check_parts(new, &PARTS, errors);
    workload::check_collisions(new, old, errors);
}

fn row(deployment: &Object, now: Timestamp) -> Row {
    let count = |path: &str| workload::count(deployment, path);
    let [containers, images, selector] = workload::wide_cells(deployment);
    Row::of([
        deployment.name().into(),
        Cell::Str(format!("{}/{}", count("status.readyReplicas"), count("spec.replicas"))),
        count("status.updatedReplicas").into(),
        count("status.availableReplicas").into(),
        Row::age(deployment, now),
        containers,
        images,
        selector,
    ])
}
