//! `Event`: something that happened to an object. Events disappear an hour after they were last written.

use jiff::Timestamp;

use crate::kind::{Kind, SelectableField, field_paths};
use crate::names;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, column, wide};
use crate::time;
use crate::validation::{Errors, Path};

const FIELDS: [SelectableField; 11] = [
    SelectableField::text("involvedObject.apiVersion"),
    SelectableField::text("involvedObject.fieldPath"),
    SelectableField::text("involvedObject.kind"),
    SelectableField::text("involvedObject.name"),
    SelectableField::text("involvedObject.namespace"),
    SelectableField::text("involvedObject.resourceVersion"),
    SelectableField::text("involvedObject.uid"),
    SelectableField::text("reason"),
    SelectableField::text("reportingComponent"),
    SelectableField { label: "source", fallback: "reportingComponent", ..SelectableField::text("source.component") },
    SelectableField::text("type"),
];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    ty: &types::CORE_V1_EVENT,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        column("Last Seen", "How long ago it happened last."),
        column("Type", "Whether it is normal or a warning."),
        column("Reason", "What happened, in one word."),
        column("Object", "To which object it happened."),
        wide("Subobject", "To which part of the object it happened."),
        wide("Source", "Who reports it."),
        column("Message", "What happened, in a sentence."),
        wide("First Seen", "How long ago it happened first."),
        wide("Count", "How often it happened."),
        wide("Name", "The name of the event itself."),
    ],
    row,
    create_on_update: true,
    lifetime_seconds: Some(3600),
    check: |event, errors| check_as(event, "reportingComponent", errors),
    ..Kind::BASE
};

pub(crate) fn row(event: &Object, now: Timestamp) -> Row {
    let at = |paths: [&str; 3]| {
        let found = paths.into_iter().map(|path| event.str_at(path)).find(|text| !text.is_empty());
        time::age(found, now)
    };
    let first = at(["firstTimestamp", "eventTime", "metadata.creationTimestamp"]);
    let last = at(["series.lastObservedTime", "lastTimestamp", "eventTime"]);
    let last = if last == time::UNKNOWN { first.clone() } else { last };
    let count = event.body.i64_at("series.count").or_else(|| event.body.i64_at("count")).unwrap_or(1);
    let object = match event.str_at("involvedObject.name") {
        "" => event.str_at("involvedObject.kind").to_lowercase(),
        name => format!("{}/{name}", event.str_at("involvedObject.kind").to_lowercase()),
    };
    Row::of([
        last.into(),
        event.str_at("type").into(),
        event.str_at("reason").into(),
        object.into(),
        event.str_at("involvedObject.fieldPath").into(),
        source(event).into(),
        event.str_at("message").trim().into(),
        first.into(),
        Cell::Str(count.to_string()),
        event.name().into(),
    ])
}

fn source(event: &Object) -> String {
    let (component, host) = (event.str_at("source.component"), event.str_at("source.host"));
    let (component, host) = if component.is_empty() {
        (event.str_at("reportingComponent"), event.str_at("reportingInstance"))
    } else {
        (component, host)
    };
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

/// Rules for events however they are written; `reporter` is the name of the field that says who reports.
pub(crate) fn check_as(event: &Object, reporter: &str, errors: &mut Errors) {
    let root = Path::Root;
    let path = root.field("involvedObject");
    let (namespace, about) = (event.namespace(), event.str_at("involvedObject.namespace"));
    let is_new = event.at("eventTime").is_some();
    // Events about cluster-scoped objects live in the default namespace, or where the reporter lives.
    let fits =
        if about.is_empty() { matches!(namespace, "default" | "kube-system") } else { is_new || namespace == about };
    if !fits {
        let detail = if about.is_empty() {
            "does not match event.namespace: events about cluster-scoped objects must be in namespace \"default\""
        } else {
            "does not match event.namespace"
        };
        errors.invalid(&path.field("namespace"), about, detail);
    }
    if !is_new {
        return;
    }
    let controller = event.str_at("reportingComponent");
    if controller.is_empty() {
        errors.required(&root.field(reporter), "");
    }
    errors.invalid_each(&root.field(reporter), controller, names::qualified_name(controller));
    for (field, max) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
        if event.str_at(field).is_empty() {
            errors.required(&root.field(field), "");
        }
        check_length(event, field, max, errors);
    }
    check_length(event, "message", 1024, errors);
}

fn check_length(event: &Object, field: &str, max: usize, errors: &mut Errors) {
    if event.str_at(field).len() > max {
        errors.invalid(&Path::Root.field(field), "", format!("can have at most {max} characters"));
    }
}
