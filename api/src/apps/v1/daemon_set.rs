//! `DaemonSet`: one pod on every node that fits.

use jiff::Timestamp;

use super::workload;
use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::{self, LabelSelector};
use crate::table::{Row, age_column, column, integer, name_column, wide};
use crate::validation::{Errors, Path};

/// Where the number of templates there have been is kept; it was a field before `apps/v1`.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    plural: "daemonsets",
    singular: "daemonset",
    kind: "DaemonSet",
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "DaemonSet", verbs: READ_AND_CHANGE }],
    ty: &types::APPS_V1_DAEMON_SET,
    columns: &[
        name_column(),
        integer("Desired", "Nodes that should run the pod."),
        integer("Current", "Nodes that run the pod and should."),
        integer("Ready", "Nodes on which the pod is ready."),
        integer("Up-to-date", "Nodes that run a pod of the present template."),
        integer("Available", "Nodes on which the pod has been ready for long enough."),
        column("Node Selector", "Labels of the nodes that should run the pod."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
        wide("Selector", "Labels by which pods are counted."),
    ],
    row,
    generation: Generation::Spec,
    defaults,
    on_create,
    on_update,
    check,
    check_update: workload::check_update,
    check_status_update,
    ..Kind::BASE
};

fn defaults(set: &mut Struct) {
    let spec = set.struct_at("spec");
    spec.set_default("updateStrategy.type", "RollingUpdate");
    spec.set_default("revisionHistoryLimit", 10_i64);
    if spec.str_at("updateStrategy.type") == "RollingUpdate" {
        spec.set_default("updateStrategy.rollingUpdate.maxUnavailable", 1_i64);
        spec.set_default("updateStrategy.rollingUpdate.maxSurge", 0_i64);
    }
    pod_template::defaults(spec);
}

fn template_generation(set: &Object) -> i64 {
    set.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn on_create(set: &mut Object) {
    let first = template_generation(set).max(1);
    set.set_annotation(TEMPLATE_GENERATION, &first.to_string());
}

/// The number of the template grows with the template, and with nothing else.
fn on_update(new: &mut Object, old: &Object) {
    let grown = i64::from(new.at("spec.template") != old.at("spec.template"));
    new.set_annotation(TEMPLATE_GENERATION, &(template_generation(old) + grown).to_string());
}

fn row(set: &Object, now: Timestamp) -> Row {
    let count = |field: &str| workload::count(set, &format!("status.{field}")).into();
    let [containers, images, selector] = workload::wide_cells(set);
    Row::of([
        set.name().into(),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        pod_template::label_cell(set.at("spec.template.spec.nodeSelector")),
        Row::age(set, now),
        containers,
        images,
        selector,
    ])
}

fn check(set: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::APPS_V1_DAEMON_SET_SPEC);
    let spec = set.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    let selector = spec.get("selector");
    selector::check_object(selector, &path.field("selector"), errors);
    let template = path.field("template");
    // Without a selector nothing is selected, so the template's labels cannot be right.
    let selects = selector.and_then(LabelSelector::from_object);
    let matches = |labels: &_| selects.as_ref().is_some_and(|selects| selects.matches_labels(labels));
    pod_template::check_selected(spec, matches, &template, errors);
    if selector.and_then(Node::as_struct).is_some_and(Struct::is_empty) {
        errors.invalid(&path.field("selector"), shown(selector), "empty selector is invalid for daemonset");
    }
    pod_template::check_template(spec.get("template"), &template, errors);
    pod_template::check_keeps_running(spec, "DaemonSet", &template.field("spec"), errors);
    check_not_negative(spec.i64_at("minReadySeconds"), &path.field("minReadySeconds"), errors);
    check_strategy(spec, &path.field("updateStrategy"), errors);
    check_not_negative(spec.i64_at("revisionHistoryLimit"), &path.field("revisionHistoryLimit"), errors);
}

fn check_strategy(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    match (spec.str_at("updateStrategy.type"), spec.at("updateStrategy.rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.required(&path.field("rollingUpdate"), ""),
        ("RollingUpdate", Some(rolling)) => check_rolling(rolling, &path.field("rollingUpdate"), errors),
        _ => errors.not_supported(path, shown(spec.get("updateStrategy")), &["RollingUpdate", "OnDelete"]),
    }
}

fn check_rolling(rolling: &Node, path: &Path<'_>, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        if let Some(value) = rolling.get(field) {
            workload::check_count_or_percent(value, &path.field(field), errors);
        }
    }
    let is_something = |field: &str| rolling.get(field).is_some_and(|value| !workload::is_nothing(value));
    match (is_something("maxUnavailable"), is_something("maxSurge")) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.invalid(&path.field("maxSurge"), shown(rolling.get("maxSurge")), detail);
        }
        (false, false) => errors.required(&path.field("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    const COUNTS: [&str; 8] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    ];
    workload::check_counts(new, &COUNTS, errors);
    workload::check_counts(new, &["collisionCount"], errors);
    workload::check_collisions(new, old, errors);
}
