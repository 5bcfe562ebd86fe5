//! `Job`: pods that run until enough of them have succeeded.

use jiff::Timestamp;

use crate::core::v1::pod_template;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, SelectableField, Subresource, field_paths};
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::table::{Cell, Row, age_column, column, name_column, or_none, wide};
use crate::time;

mod check;
mod indexes;
mod status;
mod update;

pub(super) use check::check_spec;

/// The labels by which a Job knows its pods, and their older names.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const LEGACY_CONTROLLER_UID: &str = "controller-uid";
const LEGACY_JOB_NAME: &str = "job-name";

const FIELDS: [SelectableField; 1] =
    [SelectableField { label: "status.successful", absent: "0", ..SelectableField::text("status.succeeded") }];

/// The kind.
pub static KIND: Kind = Kind {
    group: "batch",
    plural: "jobs",
    singular: "job",
    kind: "Job",
    categories: &["all"],
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "Job", verbs: READ_AND_CHANGE }],
    ty: &types::BATCH_V1_JOB,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("Status", "Whether the job runs, or how it ended."),
        column("Completions", "Pods that have succeeded, of all that should."),
        column("Duration", "How long the job took, or has taken until now."),
        age_column(),
        wide("Containers", "Names of the containers in the template."),
        wide("Images", "Images of the containers in the template."),
        wide("Selector", "Labels by which pods are counted."),
    ],
    row,
    generation: Generation::Spec,
    orphan_by_default: true,
    defaults,
    on_create: generate_selector,
    check: check::job,
    check_update: update::check,
    check_status_update: status::check_update,
    ..Kind::BASE
};

fn defaults(job: &mut Struct) {
    let spec = job.struct_at("spec");
    if !spec.has("completions") && !spec.has("parallelism") {
        spec.set("completions", 1_i64);
    }
    spec.set_default("parallelism", 1_i64);
    let limit = if spec.has("backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    spec.set_default("backoffLimit", limit);
    spec.set_default("completionMode", "NonIndexed");
    spec.set_default("suspend", false);
    spec.set_default("manualSelector", false);
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    spec.set_default("podReplacementPolicy", replacement);
    let rules = spec.at_mut("podFailurePolicy.rules").and_then(Node::as_list_mut).into_iter().flatten();
    let patterns = rules.filter_map(|rule| rule.get_mut("onPodConditions")?.as_list_mut()).flatten();
    for pattern in patterns.filter_map(Node::as_struct_mut) {
        pattern.set_default("status", "True");
    }
    pod_template::defaults(spec);
    label_by_template(job);
}

/// A Job without labels has those of its pods.
fn label_by_template(job: &mut Struct) {
    let labels = job.at("spec.template.metadata.labels").and_then(Node::as_map).cloned().unwrap_or_default();
    let unlabelled = job.at("metadata.labels").and_then(Node::as_map).is_none_or(Map::is_empty);
    if unlabelled && !labels.is_empty() {
        job.set("metadata.labels", labels);
    }
}

/// Gives the pods labels that are the Job's alone, unless the client sees to that.
fn generate_selector(job: &mut Object) {
    if job.body.bool_at("spec.manualSelector") == Some(true) {
        return;
    }
    let (name, uid) = (job.name().to_owned(), job.uid().to_owned());
    let spec = job.body.struct_at("spec");
    if let Node::Map(labels) = spec.entry_at("template.metadata.labels") {
        for (legacy, present, value) in
            [(LEGACY_JOB_NAME, JOB_NAME, &name), (LEGACY_CONTROLLER_UID, CONTROLLER_UID, &uid)]
        {
            // Whoever sets a label already is told by validation if it is wrong.
            if labels.get(legacy).is_none() {
                labels.insert(legacy, value.as_str());
                labels.insert(present, value.as_str());
            }
        }
    }
    if let Node::Map(labels) = spec.entry_at("selector.matchLabels")
        && labels.get(CONTROLLER_UID).is_none()
    {
        labels.insert(CONTROLLER_UID, uid);
    }
    label_by_template(&mut job.body);
}

fn is_true(job: &Object, kind: &str) -> bool {
    let conditions = job.body.items_at("status.conditions");
    conditions.iter().any(|condition| condition.str_at("type") == kind && condition.str_at("status") == "True")
}

fn row(job: &Object, now: Timestamp) -> Row {
    let [containers, images] = pod_template::container_cells(job.at("spec.template"));
    let selector = job.at("spec.selector").and_then(LabelSelector::from_object).unwrap_or_default();
    Row::of([
        job.name().into(),
        status_cell(job),
        completions(job).into(),
        duration(job, now).into(),
        Row::age(job, now),
        containers,
        images,
        or_none(&selector.to_string()),
    ])
}

fn status_cell(job: &Object) -> Cell {
    let first = |kinds: &[&'static str]| kinds.iter().find(|kind| is_true(job, kind)).copied();
    let word = first(&["Complete", "Failed"])
        .or_else(|| job.is_deleting().then_some("Terminating"))
        .or_else(|| first(&["Suspended", "FailureTarget", "SuccessCriteriaMet"]));
    word.unwrap_or("Running").into()
}

fn completions(job: &Object) -> String {
    let count = |path: &str| job.body.i64_at(path).unwrap_or(0);
    let succeeded = count("status.succeeded");
    match (job.body.i64_at("spec.completions"), count("spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, 2..) => format!("{succeeded}/1 of {}", count("spec.parallelism")),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Object, now: Timestamp) -> String {
    let Some(start) = time::parse(job.str_at("status.startTime")) else { return String::new() };
    let end = time::parse(job.str_at("status.completionTime")).unwrap_or(now);
    time::human_duration((end.as_millisecond() - start.as_millisecond()) / 1000)
}
