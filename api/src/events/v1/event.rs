//! `Event` in its newer form. It is stored as the Event of the core group, and is seen in both groups.

use jiff::Timestamp;

use crate::core::v1::event as core_event;
use crate::kind::{Conversion, Kind, SelectableField, field_paths};
use crate::meta::check_immutable;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::Row;
use crate::validation::{Errors, Path};

const fn field(label: &'static str, path: &'static str) -> SelectableField {
    SelectableField { label, ..SelectableField::text(path) }
}

const FIELDS: [SelectableField; 10] = [
    SelectableField::text("reason"),
    field("regarding.apiVersion", "involvedObject.apiVersion"),
    field("regarding.fieldPath", "involvedObject.fieldPath"),
    field("regarding.kind", "involvedObject.kind"),
    field("regarding.name", "involvedObject.name"),
    field("regarding.namespace", "involvedObject.namespace"),
    field("regarding.resourceVersion", "involvedObject.resourceVersion"),
    field("regarding.uid", "involvedObject.uid"),
    field("reportingController", "reportingComponent"),
    SelectableField::text("type"),
];

/// Fields that have another name here than in the core group.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];
/// Fields that only the older form may still fill.
const OLD: [&str; 4] = ["firstTimestamp", "lastTimestamp", "count", "source"];
/// Fields of the core group, in upstream's order of checking, that never change; all but the series.
const FIXED: [&str; 12] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingInstance",
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "events.k8s.io",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    stored_as: Some(&core_event::KIND),
    conversion: Some(Conversion { to_stored, from_stored }),
    ty: &types::EVENTS_V1_EVENT,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: core_event::KIND.columns,
    row,
    create_on_update: true,
    lifetime_seconds: core_event::KIND.lifetime_seconds,
    check: |event, errors| core_event::check_as(&stored(event), "reportingController", errors),
    check_create,
    check_update,
    ..Kind::BASE
};

/// Moves all fields into the other shape. The series has the same fields in both.
fn convert(mut from: Struct, mut to: Struct, name: impl Fn(&'static str) -> &'static str) -> Struct {
    for field in from.ty().fields {
        let Some(value) = from.remove_field(field.name) else { continue };
        match value {
            Node::Struct(series) if field.name == "series" => {
                let target = to.struct_at("series");
                for (field, value) in series.iter() {
                    target.set(field.name, value.clone());
                }
            }
            value => to.set(name(field.name), value),
        }
    }
    to
}

fn to_stored(event: Struct) -> Struct {
    convert(event, Struct::new(core_event::KIND.ty), |name| {
        RENAMED.iter().find(|(here, _)| *here == name).map_or(name, |(_, there)| there)
    })
}

fn from_stored(event: Struct) -> Struct {
    convert(event, Struct::new(KIND.ty), |name| {
        RENAMED.iter().find(|(_, there)| *there == name).map_or(name, |(here, _)| here)
    })
}

fn stored(event: &Object) -> Object {
    KIND.to_stored(event.clone())
}

fn row(event: &Object, now: Timestamp) -> Row {
    core_event::row(&stored(event), now)
}

fn check_create(event: &Object, errors: &mut Errors) {
    let event = stored(event);
    let root = Path::Root;
    check_series(&event, errors);
    if event.at("eventTime").is_none() {
        errors.required(&root.field("eventTime"), "");
    }
    let kind = event.str_at("type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&root.field("type"), "", format!("has invalid value: {kind}"));
    }
    for field in OLD.iter().filter(|field| event.at(field).is_some_and(|value| !value.is_zero())) {
        errors.invalid(&root.field(field), "", "needs to be unset");
    }
}

fn check_series(event: &Object, errors: &mut Errors) {
    let Some(series) = event.at("series") else { return };
    let path = Path::Root.field("series");
    if series.i64_at("count").unwrap_or(0) < 2 {
        errors.invalid(&path.field("count"), "", "should be at least 2");
    }
    if series.get("lastObservedTime").is_none() {
        errors.required(&path.field("lastObservedTime"), "");
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let (new, old) = (stored(new), stored(old));
    if new.at("series") != old.at("series") {
        check_series(&new, errors);
    }
    let mut fixed = |field: &str, shown: &str| {
        check_immutable(new.at(field), old.at(field), &Path::Root.field(shown), errors);
    };
    FIXED.iter().for_each(|field| fixed(field, field));
    fixed("reportingComponent", "reportingController");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors, written};

    const EVENT: &str = "{eventTime: '2026-11-23T11:59:30.000001Z', type: Normal, reason: Pulled, action: Pull, note: done, reportingController: kubelet, reportingInstance: n1, regarding: {kind: Pod, name: web, namespace: default}, series: {count: 3, lastObservedTime: '2026-11-23T11:59:50Z'}}";

    #[test]
    fn nothing_is_lost_on_the_way_to_the_store_and_back() {
        let event = written(&KIND, EVENT);
        let kept = KIND.to_stored(event.clone());
        assert_eq!(&*kept.api_version, "v1");
        assert_eq!((kept.str_at("involvedObject.name"), kept.str_at("message")), ("web", "done"));
        assert_eq!((kept.str_at("reportingComponent"), kept.body.i64_at("series.count")), ("kubelet", Some(3)));
        let mut back = KIND.from_stored(kept);
        back.api_version.clone_from(&event.api_version);
        back.kind.clone_from(&event.kind);
        assert_eq!(back, event);
        for field in core_event::KIND.ty.fields {
            let here = RENAMED.iter().find(|(_, there)| *there == field.name).map_or(field.name, |(here, _)| here);
            assert!(KIND.ty.field(here).is_some(), "{here}");
        }
        assert_eq!(KIND.ty.fields.len(), core_event::KIND.ty.fields.len());
    }

    #[test]
    fn new_events_say_who_does_what() {
        check_all(&[
            (&KIND, EVENT, &[]),
            (
                &KIND,
                "{regarding: {namespace: default}, deprecatedCount: 2, type: Odd, series: {count: 1}}",
                &[
                    "series.count: Invalid value: \"\": should be at least 2",
                    "series.lastObservedTime: Required value",
                    "eventTime: Required value",
                    "type: Invalid value: \"\": has invalid value: Odd",
                    "count: Invalid value: \"\": needs to be unset",
                ],
            ),
            (
                &KIND,
                "{eventTime: '2026-11-23T11:59:30Z', type: Normal, reportingController: kubelet, reason: a, regarding: {namespace: default}}",
                &["reportingInstance: Required value", "action: Required value"],
            ),
        ]);
    }

    #[test]
    fn only_the_series_of_an_event_goes_on() {
        let counted = EVENT.replace("count: 3", "count: 4");
        assert_eq!(update_errors(&KIND, EVENT, &counted), Vec::<String>::new());
        let other = EVENT.replace("note: done", "note: other").replace("kubelet", "scheduler");
        assert_eq!(
            update_errors(&KIND, EVENT, &other),
            [
                "message: Invalid value: \"other\": field is immutable",
                "reportingController: Invalid value: \"scheduler\": field is immutable",
            ]
        );
    }

    #[test]
    fn the_row_is_that_of_the_core_group() {
        assert_eq!(row(&KIND, EVENT), "10s | Normal | Pulled | pod/web |  | kubelet, n1 | done | 30s | 3 | web");
    }
}
