//! `ReplicationController`: a number of alike pods, as it was done before there were ReplicaSets.

use jiff::Timestamp;

use crate::core::v1::{pod_spec::check_not_negative, pod_template};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, ScaleFields, SelectableField, Subresource, field_paths};
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::table::{Row, age_column, integer, name_column, wide};
use crate::validation::{Errors, Path};

const FIELDS: [SelectableField; 1] = [SelectableField { absent: "0", ..SelectableField::text("status.replicas") }];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "replicationcontrollers",
    singular: "replicationcontroller",
    kind: "ReplicationController",
    short_names: &["rc"],
    categories: &["all"],
    subresources: &[
        Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: READ_AND_CHANGE },
        Subresource { name: "status", group: "", version: "", kind: "ReplicationController", verbs: READ_AND_CHANGE },
    ],
    ty: &types::CORE_V1_REPLICATION_CONTROLLER,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        integer("Desired", "Pods that should be there."),
        integer("Current", "Pods that are there."),
        integer("Ready", "Pods that are there and ready."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
        wide("Selector", "Labels by which pods are counted."),
    ],
    row,
    generation: Generation::Spec,
    scale: Some(ScaleFields {
        replicas: "spec.replicas",
        status_replicas: "status.replicas",
        selector: "spec.selector",
    }),
    orphan_by_default: true,
    defaults,
    check,
    check_status_update,
    ..Kind::BASE
};

fn defaults(controller: &mut Struct) {
    let labels = controller.at("spec.template.metadata.labels").and_then(Node::as_map).cloned().unwrap_or_default();
    let is_empty = |map: Option<&Node>| map.and_then(Node::as_map).is_none_or(Map::is_empty);
    if !labels.is_empty() {
        for path in ["spec.selector", "metadata.labels"] {
            if is_empty(controller.at(path)) {
                controller.set(path, labels.clone());
            }
        }
    }
    let spec = controller.struct_at("spec");
    spec.set_default("replicas", 1_i64);
    if spec.has("template") {
        pod_template::defaults(spec);
    }
}

fn row(controller: &Object, now: Timestamp) -> Row {
    let count = |path: &str| controller.body.i64_at(path).unwrap_or(0).into();
    let [containers, images] = pod_template::container_cells(controller.at("spec.template"));
    Row::of([
        controller.name().into(),
        count("spec.replicas"),
        count("status.replicas"),
        count("status.readyReplicas"),
        Row::age(controller, now),
        containers,
        images,
        pod_template::label_cell(controller.at("spec.selector")),
    ])
}

fn check(controller: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::CORE_V1_REPLICATION_CONTROLLER_SPEC);
    let spec = controller.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    check_not_negative(spec.i64_at("minReadySeconds"), &path.field("minReadySeconds"), errors);
    let selector = spec.get("selector").and_then(Node::as_map).filter(|labels| !labels.is_empty());
    if selector.is_none() {
        errors.required(&path.field("selector"), "");
    }
    check_not_negative(spec.i64_at("replicas"), &path.field("replicas"), errors);
    if !spec.has("template") {
        errors.required(&path.field("template"), "");
        return;
    }
    let selector = selector.map(LabelSelector::from_labels);
    let selects = |labels: &_| selector.as_ref().is_none_or(|selector| selector.matches_labels(labels));
    pod_template::check(spec, selects, "ReplicationController", &path, errors);
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let count = |field: &str| new.body.i64_at(&format!("status.{field}")).unwrap_or(0);
    for field in ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"] {
        check_not_negative(Some(count(field)), &path.field(field), errors);
    }
    for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        if count(field) > count("replicas") {
            errors.invalid(&path.field(field), count(field), "cannot be greater than status.replicas");
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let path = path.field("availableReplicas");
        errors.invalid(&path, count("availableReplicas"), "cannot be greater than readyReplicas");
    }
}
