//! `HorizontalPodAutoscaler`: a number of pods that follows what they have to do.

use jiff::Timestamp;

use crate::core::v1::pod_spec::check_not_negative;
use crate::kind::{Kind, READ_AND_CHANGE, Subresource};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Column, Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

mod check;
mod targets;

/// How busy processors should be where nothing is said, in percent of what pods ask for.
const CPU_UTILIZATION: i64 = 80;

/// The kind.
pub static KIND: Kind = Kind {
    group: "autoscaling",
    version: "v2",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    kind: "HorizontalPodAutoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: SUBRESOURCES,
    ty: &types::AUTOSCALING_V2_HORIZONTAL_POD_AUTOSCALER,
    columns: COLUMNS,
    row,
    defaults,
    check: check::autoscaler,
    check_status_update,
    ..Kind::BASE
};

/// The subresources, alike in all versions.
pub(in crate::autoscaling) const SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "status", group: "", version: "", kind: "HorizontalPodAutoscaler", verbs: READ_AND_CHANGE }];

/// The columns, alike in all versions.
pub(in crate::autoscaling) const COLUMNS: &[Column] = &[
    name_column(),
    column("Reference", "What is scaled."),
    column("Targets", "What was measured, and what it should be."),
    column("MinPods", "Pods there are at least."),
    column("MaxPods", "Pods there are at most."),
    column("Replicas", "Pods there are."),
    age_column(),
];

fn defaults(autoscaler: &mut Struct) {
    let spec = autoscaler.struct_at("spec");
    spec.set_default("minReplicas", 1_i64);
    ensure_metric(spec);
    if let Some(behavior) = spec.get_mut("behavior").and_then(Node::as_struct_mut) {
        behavior_defaults(behavior);
    }
}

/// Adds the wish that processors are so busy, in percent of what pods ask for.
pub(in crate::autoscaling) fn push_cpu_metric(spec: &mut Struct, utilization: i64) {
    let Some(mut metric) = spec.new_item("metrics") else { return };
    metric.set("type", "Resource");
    metric.set("resource.name", "cpu");
    metric.set("resource.target.type", "Utilization");
    metric.set("resource.target.averageUtilization", utilization);
    spec.list_at("metrics").push(metric.into());
}

/// Adds the default metric where there is none.
pub(in crate::autoscaling) fn ensure_metric(spec: &mut Struct) {
    if spec.items_at("metrics").is_empty() {
        push_cpu_metric(spec, CPU_UTILIZATION);
    }
}

/// Up as fast as need be, down as slowly as the controller does anyway.
fn behavior_defaults(behavior: &mut Struct) {
    let rules: [(&str, &[(&str, i64)]); 2] =
        [("scaleUp", &[("Pods", 4), ("Percent", 100)]), ("scaleDown", &[("Percent", 100)])];
    for (direction, policies) in rules {
        let rules = behavior.struct_at(direction);
        if direction == "scaleUp" {
            rules.set_default("stabilizationWindowSeconds", 0_i64);
        }
        rules.set_default("selectPolicy", "Max");
        if rules.has("policies") {
            continue;
        }
        for (kind, value) in policies {
            let Some(mut policy) = rules.new_item("policies") else { continue };
            policy.set("type", *kind);
            policy.set("value", *value);
            policy.set("periodSeconds", 15_i64);
            rules.list_at("policies").push(policy.into());
        }
    }
}

/// The row of an object of this version.
pub(in crate::autoscaling) fn row(autoscaler: &Object, now: Timestamp) -> Row {
    let target = |field: &str| autoscaler.str_at(&format!("spec.scaleTargetRef.{field}"));
    let count = |path: &str| autoscaler.body.i64_at(path).unwrap_or(0);
    let min = autoscaler.body.i64_at("spec.minReplicas").map_or("<unset>".to_owned(), |min| min.to_string());
    Row::of([
        autoscaler.name().into(),
        Cell::Str(format!("{}/{}", target("kind"), target("name"))),
        targets::cell(autoscaler).into(),
        min.into(),
        count("spec.maxReplicas").into(),
        count("status.currentReplicas").into(),
        Row::age(autoscaler, now),
    ])
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    for field in ["currentReplicas", "desiredReplicas"] {
        check_not_negative(new.body.i64_at(&format!("status.{field}")), &path.field(field), errors);
    }
}
