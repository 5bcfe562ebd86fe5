//! `ReplicaSet`: a number of alike pods.

use jiff::Timestamp;

use super::workload;
use crate::core::v1::pod_template;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::node::Struct;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, integer, name_column, wide};
use crate::validation::Errors;

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    plural: "replicasets",
    singular: "replicaset",
    kind: "ReplicaSet",
    short_names: &["rs"],
    categories: &["all"],
    subresources: &[
        Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: READ_AND_CHANGE },
        Subresource { name: "status", group: "", version: "", kind: "ReplicaSet", verbs: READ_AND_CHANGE },
    ],
    ty: &types::APPS_V1_REPLICA_SET,
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
    scale: Some(workload::SCALE),
    defaults,
    check: workload::check,
    check_update: workload::check_update,
    check_status_update,
    ..Kind::BASE
};

fn defaults(set: &mut Struct) {
    let spec = set.struct_at("spec");
    spec.set_default("replicas", 1_i64);
    pod_template::defaults(spec);
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    const PARTS: [&str; 4] = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas"];
    workload::check_counts(new, &["replicas", "observedGeneration"], errors);
    workload::check_counts(new, &PARTS, errors);
    workload::check_parts(new, &PARTS[..3], errors);
}

fn row(set: &Object, now: Timestamp) -> Row {
    let [containers, images, selector] = workload::wide_cells(set);
    Row::of([
        set.name().into(),
        workload::count(set, "spec.replicas").into(),
        workload::count(set, "status.replicas").into(),
        workload::count(set, "status.readyReplicas").into(),
        Row::age(set, now),
        containers,
        images,
        selector,
    ])
}
